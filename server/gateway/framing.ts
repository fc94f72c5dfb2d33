/** A frame that is complete, and binary: its first byte (RFC 6455, 5.2). */
const FINAL_BINARY = 0x82;
/** Lengths above this stand in the next two bytes, for which this is the sign. */
const LONGEST_SHORT = 125;
const IN_TWO_BYTES = 126;
/** What is larger is not worth copying: `ws` sends it as it is, behind a header of its own. In bytes. */
export const LARGEST_FRAMED = 16_384;

let last: { readonly message: Uint8Array; readonly frame: Buffer } | undefined;

/**
 * A message as the WebSocket frame that leaves: header and payload in one piece, so that it is one buffer to write instead of two.
 * One that goes to many is framed once.
 * @param message - of at most {@link LARGEST_FRAMED} bytes, which nobody writes to any more
 */
export function frameOf(message: Uint8Array): Buffer {
  if (last === undefined || !isSameMemory(last.message, message)) last = { message, frame: build(message) };
  return last.frame;
}

function isSameMemory(a: Uint8Array, b: Uint8Array): boolean {
  return a.buffer === b.buffer && a.byteOffset === b.byteOffset && a.byteLength === b.byteLength;
}

function build(message: Uint8Array): Buffer {
  const { byteLength } = message;
  const header = byteLength > LONGEST_SHORT ? 4 : 2;
  const frame = Buffer.allocUnsafe(header + byteLength);
  frame[0] = FINAL_BINARY;
  if (byteLength > LONGEST_SHORT) {
    frame[1] = IN_TWO_BYTES;
    frame.writeUInt16BE(byteLength, 2);
  } else {
    frame[1] = byteLength;
  }
  frame.set(message, header);
  return frame;
}
