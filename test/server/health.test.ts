import { describe, expect, test, vi } from 'vitest';
import { joinAs, type Editor } from '../helpers/editor.ts';
import { encodeFrame } from '../helpers/frames.ts';
import { documentsBecome, readMetrics, valueOf } from '../helpers/metrics.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { rawYWebsocket } from '../helpers/raw-client.ts';
import { startServer } from '../helpers/server.ts';
import { SECRET } from '../helpers/tokens.ts';

const READY = { status: 'ready', database: 'there', redis: 'not configured' };
const UNREADY = { status: 'unready', database: 'away', redis: 'not configured' };
const EDITS = 20;

async function get(url: string): Promise<[status: number, body: unknown]> {
  const response = await fetch(url);
  return [response.status, await response.json()];
}

describe('health', () => {
  test.each(['frozen', 'stopped'] as const)(
    '[H1] /readyz says when the database is %s and when it is back; /healthz is about the process only',
    async (how) => {
      const cluster = await startPostgres();
      const { url } = await startServer({ databaseUrl: cluster.url });
      expect(await get(`${url}/readyz`)).toEqual([200, READY]);
      expect(await get(`${url}/healthz`)).toEqual([200, { status: 'alive' }]);
      if (how === 'frozen') cluster.freeze();
      else await cluster.stop('immediate');
      // Nobody edits, so only asking can tell; an answer serves for a second.
      await vi.waitFor(async () => expect(await get(`${url}/readyz`)).toEqual([503, UNREADY]), 10_000);
      expect(await get(`${url}/healthz`)).toEqual([200, { status: 'alive' }]);
      if (how === 'frozen') cluster.thaw();
      else await cluster.start();
      await vi.waitFor(async () => expect(await get(`${url}/readyz`)).toEqual([200, READY]), 10_000);
    },
    60_000,
  );
});

describe('metrics', () => {
  test('[H1] sockets and documents are counted as they come and go', async () => {
    const { url } = await startServer();
    const stayed = performance.now();
    const one = await joinAs('y-websocket', url, 'metrics/one');
    const two = await joinAs('hocuspocus', url, 'metrics/one');
    const three = await joinAs('hocuspocus', url, 'metrics/two');
    for (const editor of [one, two, three]) await editor.ask();
    const open = await readMetrics(url);
    expect(open.value('indelible_connections', { protocol: 'y-websocket' })).toBe(1);
    expect(open.value('indelible_connections', { protocol: 'hocuspocus' })).toBe(2);
    expect(open.value('indelible_documents')).toBe(2);
    expect(open.value('indelible_load_seconds_count')).toBe(2);
    expect(open.value('indelible_connection_duration_seconds_count')).toBe(0);

    one.client.socket.close(1000);
    two.client.socket.close(4000);
    three.client.socket.terminate();
    await documentsBecome(url, 0);
    const left = await readMetrics(url);
    expect(left.value('indelible_connections', { protocol: 'y-websocket' })).toBe(0);
    expect(left.value('indelible_connections', { protocol: 'hocuspocus' })).toBe(0);
    expect(left.value('indelible_socket_opens_total', { protocol: 'y-websocket' })).toBe(1);
    expect(left.value('indelible_socket_opens_total', { protocol: 'hocuspocus' })).toBe(2);
    // A client may close with any code, which is no reason for a series of its own.
    for (const code of ['1000', 'other', '1006']) {
      expect(left.value('indelible_socket_closes_total', { code }), code).toBe(1);
    }
    expect(left.value('indelible_connection_duration_seconds_count')).toBe(3);
    const seconds = left.value('indelible_connection_duration_seconds_sum');
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThan((3 * (performance.now() - stayed)) / 1000);
  });

  test('[H1] updates, bytes, acks and commits are counted one by one', async () => {
    const { url } = await startServer();
    const writer = await joinAs('y-websocket', url, 'metrics/edits');
    const reader = await joinAs('hocuspocus', url, 'metrics/edits');
    for (const editor of [writer, reader]) await editor.ask();
    const before = await readMetrics(url);
    const [seenByWriter, seenByReader] = [writer.client.frames.length, reader.client.frames.length];

    let sentBytes = 0;
    for (let edit = 0; edit < EDITS; edit += 1) {
      const update = writer.type(`${edit} `);
      sentBytes += encodeFrame('y-websocket', { type: 'update', update }).byteLength;
      expect(await writer.ack()).toBe(true);
    }
    for (let edit = 0; edit < EDITS; edit += 1) await reader.client.next('update');
    const after = await readMetrics(url);
    const change = (name: string, labels?: Record<string, string>) =>
      after.value(name, labels) - before.value(name, labels);

    const received = [...since(writer, seenByWriter), ...since(reader, seenByReader)];
    expect(change('indelible_updates_total', { direction: 'in' })).toBe(EDITS);
    expect(change('indelible_updates_total', { direction: 'out' })).toBe(
      received.filter(({ type }) => type === 'update').length,
    );
    expect(change('indelible_socket_bytes_total', { direction: 'in' })).toBe(sentBytes);
    expect(change('indelible_socket_bytes_total', { direction: 'out' })).toBe(
      received.reduce((sum, { bytes }) => sum + bytes.byteLength, 0),
    );
    // Each edit waited for the ack of the last, so each was a commit.
    for (const name of ['delivery_latency_seconds', 'ack_latency_seconds', 'commit_seconds', 'commit_rows']) {
      expect(change(`indelible_${name}_count`), name).toBe(EDITS);
      expect(change(`indelible_${name}_sum`), name).toBeGreaterThan(0);
    }
    expect(change('indelible_commit_rows_sum')).toBe(EDITS);
    expect(change('indelible_ack_latency_seconds_sum')).toBeGreaterThan(
      change('indelible_commit_seconds_sum'),
    );
    expect(after.value('indelible_queue_updates')).toBe(0);
    expect(after.value('indelible_queue_bytes')).toBe(0);
  });

  test('[H1] what waits for a database that is away is counted, and so are the commits that fail', async () => {
    const cluster = await startPostgres();
    const { url } = await startServer({ databaseUrl: cluster.url });
    const editor = await joinAs('y-websocket', url, 'metrics/queue');
    await editor.ask();
    await cluster.stop('immediate');
    let bytes = 0;
    for (let edit = 0; edit < EDITS; edit += 1) {
      bytes += editor.type('waits ').byteLength;
      // What comes together is one row.
      await editor.ask();
    }
    await vi.waitFor(async () =>
      expect(await valueOf(url, 'indelible_commit_failures_total')).toBeGreaterThan(0),
    );
    const away = await readMetrics(url);
    expect(away.value('indelible_queue_updates')).toBe(EDITS);
    expect(away.value('indelible_queue_bytes')).toBeGreaterThanOrEqual(bytes);
    expect(away.value('indelible_commit_rows_sum')).toBe(0);

    await cluster.start();
    for (let edit = 0; edit < EDITS; edit += 1) expect(await editor.ack(20_000)).toBe(true);
    const back = await readMetrics(url);
    expect(back.value('indelible_queue_updates')).toBe(0);
    expect(back.value('indelible_commit_rows_sum')).toBe(EDITS);
    expect(back.value('indelible_commit_rows_count')).toBeLessThan(EDITS);
  }, 60_000);

  test('[H1] refusals are counted by their code', async () => {
    const { url } = await startServer({ jwtSecret: SECRET });
    await expect(rawYWebsocket(`${url}/metrics/refused?token=forged`)).rejects.toThrow('401');
    await expect(rawYWebsocket(`${url}/metrics//refused`)).rejects.toThrow('400');
    const metrics = await readMetrics(url);
    expect(metrics.value('indelible_refused_total', { code: 'unauthorized' })).toBe(1);
    expect(metrics.value('indelible_refused_total', { code: 'bad_name' })).toBe(1);
    expect(metrics.value('indelible_socket_opens_total', { protocol: 'y-websocket' })).toBe(0);
  });

  test('[H1] the answer is in the text format of Prometheus, with those of the process', async () => {
    const { url } = await startServer();
    const { headers } = await fetch(`${url}/metrics`);
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await valueOf(url, 'process_resident_memory_bytes')).toBeGreaterThan(1_000_000);
    expect(await valueOf(url, 'process_cpu_seconds_total')).toBeGreaterThan(0);
  });
});

function since({ client }: Editor, index: number) {
  return client.frames.slice(index);
}
