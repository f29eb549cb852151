// ONNX's operators as far as our nets for drawings use them; a tensor is {shape, data}, its data in row-major order.

const size = (shape) => shape.reduce((product, side) => product * side, 1);

export const OPERATORS = {
  Identity: ([value]) => value,
  Cast: ([value], { to }) => {
    if (to !== 1) throw new Error("only a cast to float is known here");
    return value;
  },
  Constant: (_, { value }) => value,
  Relu: ([{ shape, data }]) => ({ shape, data: data.map((number) => Math.max(number, 0)) }),
  Add: ([a, b]) => elementwise(a, b, (x, y) => x + y),
  Sub: ([a, b]) => elementwise(a, b, (x, y) => x - y),
  Mul: ([a, b]) => elementwise(a, b, (x, y) => x * y),
  Div: ([a, b]) => elementwise(a, b, (x, y) => x / y),
  Transpose: ([value], { perm }) => transposed(value, perm),
  Flatten: ([{ shape, data }], { axis = 1 }) => {
    const rows = size(shape.slice(0, axis));
    return { shape: [rows, data.length / rows], data };
  },
  Conv: convolved,
  MaxPool: pooled,
  BatchNormalization: normalised,
  GlobalAveragePool: ([{ shape, data }]) => {
    const pixels = size(shape.slice(2));
    const means = Float32Array.from({ length: data.length / pixels }, (_, i) => {
      return data.subarray(i * pixels, (i + 1) * pixels).reduce((sum, value) => sum + value, 0) / pixels;
    });
    return { shape: [shape[0], shape[1], ...shape.slice(2).map(() => 1)], data: means };
  },
  MatMul: ([a, b]) => multiplied(a, transposed(b, [1, 0])),
  Gemm: ([a, b, c], { alpha = 1, beta = 1, transA = 0, transB = 0 }) => {
    const product = multiplied(transA ? transposed(a, [1, 0]) : a, transB ? b : transposed(b, [1, 0]));
    if (alpha !== 1) product.data.forEach((value, i) => (product.data[i] = value * alpha));
    return c ? elementwise(product, c, (x, y) => x + beta * y) : product;
  },
};

// For each element of a tensor of `shape`, the place of what it takes from one that is broadcast to it.
function broadcastPlaces(from, shape) {
  const places = new Int32Array(size(shape));
  const lead = shape.length - from.length;
  let stride = 1;
  let repeat = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const side = axis < lead ? 1 : from[axis - lead];
    if (side !== 1 && side !== shape[axis]) throw new Error(`[${from}] cannot be broadcast to [${shape}]`);
    if (side !== 1) for (let i = 0; i < places.length; i++) places[i] += (Math.floor(i / repeat) % side) * stride;
    stride *= side;
    repeat *= shape[axis];
  }
  return places;
}

function elementwise(a, b, apply) {
  const rank = Math.max(a.shape.length, b.shape.length);
  const [left, right] = [a, b].map(({ shape }) => [...Array(rank - shape.length).fill(1), ...shape]);
  const shape = left.map((side, axis) => Math.max(side, right[axis]));
  const [placesA, placesB] = [broadcastPlaces(a.shape, shape), broadcastPlaces(b.shape, shape)];
  const data = Float32Array.from(placesA, (place, i) => apply(a.data[place], b.data[placesB[i]]));
  return { shape, data };
}

function transposed({ shape, data }, perm = shape.map((_, axis) => shape.length - 1 - axis)) {
  const strides = shape.map((_, axis) => size(shape.slice(axis + 1)));
  const newShape = perm.map((axis) => shape[axis]);
  const places = new Int32Array(data.length);
  let repeat = 1;
  for (let axis = perm.length - 1; axis >= 0; axis--) {
    const stride = strides[perm[axis]];
    for (let i = 0; i < places.length; i++) places[i] += (Math.floor(i / repeat) % newShape[axis]) * stride;
    repeat *= newShape[axis];
  }
  return { shape: newShape, data: Float32Array.from(places, (place) => data[place]) };
}

// The second matrix is turned: its rows are what each row of the first is multiplied with.
function multiplied(a, b) {
  const [rows, inner] = a.shape;
  const [columns] = b.shape;
  if (a.shape.length !== 2 || b.shape.length !== 2 || b.shape[1] !== inner) throw new Error("matrices do not fit");
  const data = new Float32Array(rows * columns);
  for (let i = 0; i < data.length; i++) {
    const [left, right] = [Math.floor(i / columns) * inner, (i % columns) * inner];
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += a.data[left + k] * b.data[right + k];
    data[i] = sum;
  }
  return { shape: [rows, columns], data };
}

function normalised([value, scale, bias, mean, variance], { epsilon = 1e-5 }) {
  const [batch, channels] = value.shape;
  const pixels = value.data.length / (batch * channels);
  const data = value.data.map((number, i) => {
    const channel = Math.floor(i / pixels) % channels;
    const spread = Math.sqrt(variance.data[channel] + epsilon);
    return ((number - mean.data[channel]) / spread) * scale.data[channel] + bias.data[channel];
  });
  return { shape: value.shape, data };
}

function convolved([value, kernel, bias], { pads, strides, group = 1, dilations = [1, 1] }) {
  const [batch, channels, height, width] = value.shape;
  const [filters, depth, kernelHeight, kernelWidth] = kernel.shape;
  if (dilations.some((side) => side !== 1)) throw new Error("not our kind of convolution");
  const [top, left, bottom, right] = pads ?? [0, 0, 0, 0];
  const [down, across] = strides ?? [1, 1];
  const rows = Math.floor((height + top + bottom - kernelHeight) / down) + 1;
  const columns = Math.floor((width + left + right - kernelWidth) / across) + 1;
  const data = new Float32Array(batch * filters * rows * columns);
  for (let image = 0; image < batch; image++) {
    for (let filter = 0; filter < filters; filter++) {
      const start = (image * filters + filter) * rows * columns;
      const into = data.subarray(start, start + rows * columns);
      if (bias) into.fill(bias.data[filter]);
      const first = Math.floor(filter / (filters / group)) * depth;
      for (let k = 0; k < depth * kernelHeight * kernelWidth; k++) {
        const x = (k % kernelWidth) - left;
        const y = (Math.floor(k / kernelWidth) % kernelHeight) - top;
        const plane = (image * channels + first + Math.floor(k / (kernelHeight * kernelWidth))) * height * width;
        const from = value.data.subarray(plane, plane + height * width);
        const factor = kernel.data[filter * depth * kernelHeight * kernelWidth + k];
        addShifted(from, [height, width], into, [rows, columns], [y, x], [down, across], factor);
      }
    }
  }
  return { shape: [batch, filters, rows, columns], data };
}

// Each place of `into` gets more of `from` at `factor`, from where it lies shifted; outside is zero.
function addShifted(from, [height, width], into, [rows, columns], [y, x], [down, across], factor) {
  const start = Math.max(0, Math.ceil(-x / across));
  const stop = Math.min(columns, Math.floor((width - 1 - x) / across) + 1);
  for (let row = 0; row < rows; row++) {
    const source = row * down + y;
    if (source < 0 || source >= height) continue;
    let place = source * width + start * across + x;
    for (let column = row * columns + start; column < row * columns + stop; column++, place += across) {
      into[column] += factor * from[place];
    }
  }
}

function pooled([value], { kernel_shape: [tall, wide], strides, pads, ceil_mode = 0, dilations = [1, 1] }) {
  if (ceil_mode || dilations.some((side) => side !== 1)) throw new Error("not our kind of pooling");
  const [batch, channels, height, width] = value.shape;
  const [top, left, bottom, right] = pads ?? [0, 0, 0, 0];
  const [down, across] = strides ?? [1, 1];
  const rows = Math.floor((height + top + bottom - tall) / down) + 1;
  const columns = Math.floor((width + left + right - wide) / across) + 1;
  const data = new Float32Array(batch * channels * rows * columns);
  for (let i = 0; i < data.length; i++) {
    const plane = Math.floor(i / (rows * columns)) * height * width;
    const y = (Math.floor(i / columns) % rows) * down - top;
    const x = (i % columns) * across - left;
    let most = -Infinity;
    for (let row = Math.max(y, 0); row < Math.min(y + tall, height); row++) {
      for (let column = Math.max(x, 0); column < Math.min(x + wide, width); column++) {
        most = Math.max(most, value.data[plane + row * width + column]);
      }
    }
    data[i] = most;
  }
  return { shape: [batch, channels, rows, columns], data };
}
