"""How fast others train the same networks on the same pictures: plain PyTorch, each run a process of its own."""
