// Reads an ONNX graph: as much of protobuf and of onnx.proto3 as the graphs of our bundles use.

const FLOAT = 1;
const INT64 = 7;
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5];

// {nodes: [{type, inputs, outputs, attributes}], tensors: Map of name to {shape, data}}.
export function readGraph(bytes) {
  const graph = read(bytes).get(7)?.[0];
  if (!graph) throw new Error("this is no ONNX graph");
  const fields = read(graph);
  const named = (fields.get(5) ?? []).map((tensor) => [text(read(tensor).get(8)?.[0]), readTensor(tensor)]);
  return { nodes: (fields.get(1) ?? []).map(readNode), tensors: new Map(named) };
}

function readNode(bytes) {
  const fields = read(bytes);
  return {
    type: text(fields.get(4)?.[0]),
    inputs: (fields.get(1) ?? []).map(text),
    outputs: (fields.get(2) ?? []).map(text),
    attributes: Object.fromEntries((fields.get(5) ?? []).map(readAttribute)),
  };
}

function readAttribute(bytes) {
  const fields = read(bytes);
  const kinds = {
    1: () => new DataView(new Uint8Array(fields.get(2)?.[0] ?? 4).buffer).getFloat32(0, true),
    2: () => fields.get(3)?.[0] ?? 0,
    3: () => text(fields.get(4)?.[0]),
    4: () => readTensor(fields.get(5)[0]),
    7: () => numbers(fields.get(8)),
  };
  const kind = fields.get(20)?.[0];
  if (!kinds[kind]) throw new Error(`an attribute of kind ${kind} cannot be read here`);
  return [text(fields.get(1)?.[0]), kinds[kind]()];
}

function readTensor(bytes) {
  const fields = read(bytes);
  const kind = fields.get(2)?.[0];
  const raw = fields.get(9)?.[0];
  if (!raw || (kind !== FLOAT && kind !== INT64)) throw new Error(`a tensor of kind ${kind} cannot be read here`);
  const aligned = raw.slice().buffer;
  const data = kind === FLOAT ? new Float32Array(aligned) : Float32Array.from(new BigInt64Array(aligned), Number);
  return { shape: numbers(fields.get(1)), data };
}

// By field number: its values in order, numbers for varints, else bytes.
function read(bytes) {
  const fields = new Map();
  const cursor = { bytes, at: 0 };
  while (cursor.at < bytes.length) {
    const tag = varint(cursor);
    const value = tag % 8 === VARINT ? varint(cursor) : chunk(cursor, tag % 8);
    const number = Math.floor(tag / 8);
    if (!fields.has(number)) fields.set(number, []);
    fields.get(number).push(value);
  }
  return fields;
}

function chunk(cursor, wire) {
  const sizes = { [FIXED64]: () => 8, [FIXED32]: () => 4, [BYTES]: () => varint(cursor) };
  const size = sizes[wire]?.();
  if (size === undefined || cursor.at + size > cursor.bytes.length) throw new Error("the ONNX graph is damaged");
  cursor.at += size;
  return cursor.bytes.subarray(cursor.at - size, cursor.at);
}

function varint(cursor) {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = cursor.bytes[cursor.at++];
    if (byte === undefined) break;
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return Number(BigInt.asIntN(64, value));
  }
  throw new Error("the ONNX graph is damaged");
}

// Repeated whole numbers, which a writer may pack into one field.
function numbers(values = []) {
  return values.flatMap((value) => {
    if (typeof value === "number") return [value];
    const cursor = { bytes: value, at: 0 };
    const unpacked = [];
    while (cursor.at < value.length) unpacked.push(varint(cursor));
    return unpacked;
  });
}

const text = (bytes = new Uint8Array()) => new TextDecoder().decode(bytes);
