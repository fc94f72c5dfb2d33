import { randomBytes } from 'node:crypto';
import { setImmediate as aTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import * as ws from 'ws';
import * as Y from 'yjs';
import { LARGEST_FRAMED, frameOf } from '../../server/gateway/framing.ts';
import { PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { startServer } from '../helpers/server.ts';

const OPTIONS = { fin: true, opcode: 2, mask: false, readOnly: true, rsv1: false };

/** As `ws` frames it. */
function framed(message: Uint8Array): Buffer {
  const { Sender } = ws as unknown as {
    Sender: { frame(data: Uint8Array, options: typeof OPTIONS): Buffer[] };
  };
  return Buffer.concat(Sender.frame(message, OPTIONS));
}

test.for([0, 1, 125, 126, 127, 255, 256, LARGEST_FRAMED])(
  '[G8] a message of %i bytes is framed',
  (length) => {
    const message = new Uint8Array(randomBytes(length));
    expect(frameOf(message)).toEqual(framed(message));
  },
);

test('[G8] a message that goes to many is framed once, and another one anew, also where both are parts of one memory', () => {
  const both = new Uint8Array([1, 2, 3, 4, 5, 6]);
  const [one, other, longer] = [both.subarray(0, 3), both.subarray(3), both.subarray(3, 5)];
  const first = frameOf(one);
  expect(frameOf(both.subarray(0, 3))).toBe(first);
  for (const message of [other, longer, one]) expect(frameOf(message)).toEqual(framed(message));
});

test.each(PROTOCOLS)(
  '[G8] small and large frames come over %s in the order of the edits',
  async (protocol) => {
    const { url } = await startServer();
    const [writer, reader] = [
      await joinAs('hocuspocus', url, 'framing'),
      await joinAs(protocol, url, 'framing'),
    ];
    await reader.ask();
    const sizes = Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? 1 : LARGEST_FRAMED + 1));
    for (const size of sizes) {
      writer.type('x'.repeat(size));
      await aTurn();
    }
    for (let left = sizes.length; left > 0; left -= 1) expect(await writer.ack()).toBe(true);
    await reader.ask();
    const copy = new Y.Doc();
    const updates = reader.client.frames.flatMap((frame) => (frame.type === 'update' ? [frame.update] : []));
    for (const update of updates) {
      Y.applyUpdate(copy, update);
      expect(copy.store.pendingStructs).toBeNull();
    }
    expect(textOf(copy)).toHaveLength(textOf(writer.doc).length);
    expect(updates.some(({ byteLength }) => byteLength > LARGEST_FRAMED)).toBe(true);
    expect(updates.some(({ byteLength }) => byteLength < LARGEST_FRAMED)).toBe(true);
  },
);
