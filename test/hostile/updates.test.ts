import { beforeAll, describe, expect, test } from 'vitest';
import { type Scene, setScene } from '../helpers/bystanders.ts';
import { PROTOCOLS, joinAs } from '../helpers/editor.ts';
import { HOSTILE_UPDATES } from '../helpers/hostile.ts';

const ROOM = 'hostile/updates';

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
});
