import type { Frame } from '../protocol/frames.ts';

/** What a waiting frame costs beside its bytes. */
const FRAME_OVERHEAD_BYTES = 256;

/** What a socket may always have waiting, whoever fills the room: all that a client sends when it opens some documents. */
const OWN_BYTES = 64 * 1024;

/** Room for the waiting frames of all sockets: while the database is away many documents are opening, for many clients. */
export class WaitingRoom {
  readonly #limitBytes: number;
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * A socket has other frames waiting than before.
   * @returns whether there is room for them; if not, nothing is changed
   */
  take(before: number, after: number): boolean {
    const bytes = this.#bytes - Math.max(before - OWN_BYTES, 0) + Math.max(after - OWN_BYTES, 0);
    if (after > before && bytes > this.#limitBytes) return false;
    this.#bytes = bytes;
    return true;
  }
}

/** The frames of one socket for documents that are still opening, in their order, up to a limit. */
export class WaitingFrames {
  readonly #limitBytes: number;
  readonly #room: WaitingRoom;
  #frames: Frame[] = [];
  #bytes = 0;

  constructor(limitBytes: number, room: WaitingRoom) {
    this.#limitBytes = limitBytes;
    this.#room = room;
  }

  /** @returns whether there was room for it */
  add(frame: Frame): boolean {
    const bytes = this.#bytes + costOf(frame);
    if (bytes > this.#limitBytes || !this.#room.take(this.#bytes, bytes)) return false;
    this.#bytes = bytes;
    // Copied, since the payload is a view of what was read from the socket, and would keep all of that.
    this.#frames.push({ ...frame, payload: frame.payload.slice() });
    return true;
  }

  /** Takes out the frames of an address. */
  take(address: string): Frame[] {
    const taken = this.#frames.filter((frame) => frame.address === address);
    if (taken.length === 0) return taken;
    this.#frames = this.#frames.filter((frame) => frame.address !== address);
    this.#shrink(this.#bytes - taken.reduce((sum, frame) => sum + costOf(frame), 0));
    return taken;
  }

  /** The addresses that frames are waiting for. */
  addresses(): Set<string> {
    return new Set(this.#frames.map(({ address }) => address));
  }

  clear(): void {
    this.#frames = [];
    this.#shrink(0);
  }

  #shrink(bytes: number): void {
    this.#room.take(this.#bytes, bytes);
    this.#bytes = bytes;
  }
}

function costOf(frame: Frame): number {
  const { address, payload, token = '' } = frame;
  return payload.byteLength + address.length + token.length + FRAME_OVERHEAD_BYTES;
}
