import { beforeAll, describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { type Scene, setScene } from '../helpers/bystanders.ts';
import { PROTOCOLS, joinAs } from '../helpers/editor.ts';
import { HOSTILE_UPDATES } from '../helpers/hostile.ts';

const ROOM = 'hostile/updates';
const DEEP = 'hostile/deep';

describe.each(PROTOCOLS)('an update over %s', (protocol) => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await setScene(ROOM);
  });

  test.each(HOSTILE_UPDATES)('[X2] %s', async (_name, update) => {
    for (const type of ['update', 'step2'] as const) {
      const attacker = await joinAs(protocol, scene.url, ROOM);
      attacker.send(update, type);
      expect(await attacker.client.closed()).toEqual({ code: 4400, reason: 'bad_update' });
      expect(attacker.acks()).toEqual([]);
    }
    await scene.isUnharmed();
  });

  test('[X2] that puts a type into more types than may lie around it, which somebody made one by one', async () => {
    const [builder, other] = [
      await joinAs(protocol, scene.url, DEEP),
      await joinAs(protocol, scene.url, DEEP),
    ];
    let map = builder.doc.getMap<unknown>('deep');
    for (let level = 1; level < 500; level += 1) {
      const inner = new Y.Map<unknown>();
      map.set('in', inner);
      map = inner;
    }
    for (let level = 1; level < 500; level += 1) expect(await builder.ack()).toBe(true);
    map.set('in', new Y.Map());
    expect(await builder.ack()).toBe(true);
    (map.get('in') as Y.Map<unknown>).set('in', new Y.Map());
    expect(await builder.client.closed()).toEqual({ code: 4400, reason: 'bad_update' });
    Y.applyUpdate(other.doc, Y.encodeStateAsUpdate(await other.ask()));
    expect(await other.ack()).toBe(true);
    other.doc.getMap('deep').delete('in');
    expect(await other.ack()).toBe(true);
    await scene.isUnharmed();
  });
});
