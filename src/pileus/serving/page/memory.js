// What the page remembers: past its closing, or for this session. A browser that forbids it forgets.

const remembering = (storage) => ({
  get(name) {
    try {
      return storage().getItem(name);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      storage().setItem(name, value);
    } catch {
      // forbidden, or full
    }
  },
});

export const forGood = remembering(() => localStorage);
export const forSession = remembering(() => sessionStorage);
