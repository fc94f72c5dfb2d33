import { Client } from 'pg';
import { expect, test, vi } from 'vitest';
import * as Y from 'yjs';
import { atTestEnd } from '../helpers/cleanup.ts';
import { joinAs, updateOf } from '../helpers/editor.ts';
import { valueOf } from '../helpers/metrics.ts';
import { createDatabase } from '../helpers/postgres.ts';
import { rawHocuspocus } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET, mint } from '../helpers/tokens.ts';

const LATE = 'auth_late';
const stateVector = Y.encodeStateVector(new Y.Doc());

test('[K8] a Hocuspocus socket that brings no token in time is closed, whatever else it sends', async () => {
  const { url } = await startServer({ jwtSecret: SECRET, limitAuthMs: 500 });
  const startedAt = performance.now();
  const [silent, busy] = [await rawHocuspocus(url), await rawHocuspocus(url)];
  for (let number = 0; number < 10; number += 1) {
    busy.send({ type: 'step1', stateVector }, `notes/${number}`);
    busy.send({ type: 'ping' });
    busy.send({ type: 'stateless', payload: 'hello' }, 'notes/today');
  }
  for (const client of [silent, busy]) {
    expect(await client.closed()).toEqual({ code: 4401, reason: LATE });
    expect(client.frames).toEqual([]);
  }
  expect(performance.now() - startedAt).toBeGreaterThan(400);
});

test('[K8] one that brings a good one in time stays, also after a bad one; with bad ones only it is closed', async () => {
  const { url } = await startServer({ jwtSecret: SECRET, limitAuthMs: 1_000 });
  const [good, bad] = [await rawHocuspocus(url), await rawHocuspocus(url)];
  good.send({ type: 'token', token: await mint() }, 'notes');
  bad.send({ type: 'token', token: 'garbage' }, 'notes');
  expect((await bad.next('denied')).reason).toBe('unauthorized');
  bad.send({ type: 'token', token: await mint() }, 'notes');
  const worse = await rawHocuspocus(url);
  worse.send({ type: 'token', token: 'garbage' }, 'notes');
  expect(await worse.closed()).toEqual({ code: 4401, reason: LATE });
  for (const client of [good, bad]) {
    await client.next('authenticated');
    client.send({ type: 'update', update: updateOf('hello') }, 'notes');
    expect((await client.next('sync-status')).saved).toBe(true);
  }
});

test('[K8] frames for a document that is never asked for are refused by name; it can be asked for later', async () => {
  const { url } = await startServer({ jwtSecret: SECRET, limitAuthMs: 500 });
  const client = await rawHocuspocus(url);
  const token = await mint();
  client.send({ type: 'token', token }, 'mine');
  await client.next('authenticated');
  for (const name of ['yours', 'theirs']) {
    client.send({ type: 'step1', stateVector }, name);
    client.send({ type: 'update', update: updateOf('too early') }, name);
  }
  const denied = [await client.next('denied'), await client.next('denied')];
  expect(denied.map(({ address, reason }) => [address, reason])).toEqual([
    ['yours', LATE],
    ['theirs', LATE],
  ]);
  client.send({ type: 'update', update: updateOf('still here') }, 'mine');
  expect(await client.next('sync-status')).toMatchObject({ address: 'mine', saved: true });

  client.send({ type: 'token', token }, 'yours');
  expect(await client.next('authenticated')).toMatchObject({ address: 'yours' });
  client.send({ type: 'step1', stateVector }, 'yours');
  const answer = new Y.Doc();
  Y.applyUpdate(answer, (await client.next('step2')).update);
  // What was refused is not applied afterwards.
  expect(answer.getText('content').toJSON()).toBe('');
  expect(client.frames.filter(({ type }) => type === 'denied')).toHaveLength(2);
});

test('[K8] a frame that comes before its token waits for it', async () => {
  const { url } = await startServer({ jwtSecret: SECRET, limitAuthMs: 5_000 });
  const client = await rawHocuspocus(url);
  client.send({ type: 'update', update: updateOf('early') }, 'notes');
  await client.settled();
  expect(client.frames).toEqual([]);
  client.send({ type: 'token', token: await mint() }, 'notes');
  expect(await client.next('sync-status')).toMatchObject({ address: 'notes', saved: true });
});

test('[K8] one whose token comes while no socket is read, since the log is full, is not late', async () => {
  const { url: databaseUrl } = await createDatabase();
  const { url } = await startServer({ databaseUrl, limitQueueBytes: 1_024, limitAuthMs: 300 });
  const reading = await startServer({ limitAuthMs: 300 });
  const editor = await joinAs('y-websocket', url, 'notes');
  editor.type('open');
  expect(await editor.ack()).toBe(true);
  const lock = new Client({ connectionString: databaseUrl });
  await lock.connect();
  atTestEnd(() => lock.end());
  await lock.query('begin; lock indelible.updates');
  editor.type('x'.repeat(2_000));
  await vi.waitFor(async () => expect(await valueOf(url, 'indelible_queue_bytes')).toBeGreaterThan(1_024));

  const early = await rawHocuspocus(url);
  early.send({ type: 'token', token: '' }, 'notes');
  const silent = await rawHocuspocus(url);
  // Where sockets are read, whoever comes later is sent away after these two would have been; twice, since they are looked at again.
  for (let time = 0; time < 2; time += 1) {
    const later = await rawHocuspocus(reading.url);
    expect(await later.closed()).toEqual({ code: 4401, reason: LATE });
  }
  expect(early.frames).toEqual([]);
  await lock.query('commit');
  await early.next('authenticated');
  expect(await silent.closed()).toEqual({ code: 4401, reason: LATE });
});
