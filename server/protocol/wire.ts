import { encodeAddress, readFrame, readUnaddressed, toYWebsocket, type Frame } from './frames.ts';

/** How one socket speaks: its frames to ours, and Hocuspocus's frames to its own. */
export interface Wire {
  readonly protocol: 'y-websocket' | 'hocuspocus';
  /** @throws when the frame is cut short */
  read(bytes: Uint8Array): Frame;
  /** A frame of Hocuspocus as the client takes it; `null` when the client has no use for it. */
  toClient(frame: Uint8Array): Uint8Array | null;
}

/** Many documents on one socket, each frame with its address. */
export const hocuspocusWire: Wire = {
  protocol: 'hocuspocus',
  read: readFrame,
  toClient: (frame) => frame,
};

/**
 * One document on one socket, no addresses.
 * @param wantsAcks - whether the client asked for acks, which a y-websocket client does not know by itself
 */
export function yWebsocketWire(document: string, wantsAcks: boolean): Wire {
  const addressBytes = encodeAddress(document).byteLength;
  return {
    protocol: 'y-websocket',
    read: (bytes) => readUnaddressed(bytes, document),
    toClient: (frame) => toYWebsocket(frame, addressBytes, wantsAcks),
  };
}
