import { describe, expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { Awareness, applyAwarenessUpdate } from 'y-protocols/awareness';
import { PROTOCOLS, joinAs, textOf } from '../helpers/editor.ts';
import { startServer } from '../helpers/server.ts';

const HEARTBEAT_MS = 50;

describe.each(PROTOCOLS)('a quiet line over %s', (protocol) => {
  test('[G6] carries a frame now and then that changes nothing', async () => {
    const { url } = await startServer({ heartbeatMs: HEARTBEAT_MS });
    const editor = await joinAs(protocol, url, 'quiet/room');
    editor.type('here');
    await editor.ack();
    const awareness = new Awareness(new Y.Doc());
    const changes = vi.fn<() => void>();
    awareness.on('update', changes);
    for (let beat = 0; beat < 3; beat += 1) {
      const { update } = await editor.client.next('awareness');
      applyAwarenessUpdate(awareness, update, null);
    }
    expect(changes).not.toHaveBeenCalled();
    awareness.destroy();
    expect(textOf(await editor.ask())).toBe('here');
  });
});
