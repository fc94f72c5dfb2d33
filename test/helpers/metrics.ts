import { expect, vi } from 'vitest';

type Labels = Record<string, string>;

/** What a server tells of itself: by name and labels, as in the text format of Prometheus. */
export interface Samples {
  /**
   * The value of one sample; 0 when there is none, as for a counter that has not counted yet.
   * @throws when no metric has that name
   */
  value(name: string, labels?: Labels): number;
}

const SAMPLE = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/i;

/** What `GET /metrics` says now. */
export async function readMetrics(url: string): Promise<Samples> {
  const response = await fetch(`${url}/metrics`);
  if (response.status !== 200) throw new Error(`GET /metrics: ${response.status}`);
  const text = await response.text();
  const samples = parseMetrics(text);
  return {
    value(name, labels = {}) {
      const metric = name.replace(/_(count|sum|bucket)$/, '');
      if (!text.includes(`# TYPE ${metric} `)) throw new Error(`no metric has the name ${name}`);
      return samples.get(keyOf(name, labels)) ?? 0;
    },
  };
}

/** One sample of {@link readMetrics}. */
export async function valueOf(url: string, name: string, labels?: Labels): Promise<number> {
  return (await readMetrics(url)).value(name, labels);
}

/**
 * Holds when a server has so many documents in memory.
 * @param deadlineMs - that of `vi.waitFor` when left out
 */
export async function documentsBecome(url: string, count: number, deadlineMs?: number): Promise<void> {
  await vi.waitFor(async () => expect(await valueOf(url, 'indelible_documents')).toBe(count), deadlineMs);
}

/**
 * Holds when a server has read what was sent to it before the call, and what it had sent to this process has been read. With
 * an answer it may still be on its way in one of the two, beside the question and the answer; with the next ones it is not.
 */
export async function delivered(url: string): Promise<void> {
  for (let answer = 1; answer <= 3; answer += 1) await fetch(`${url}/healthz`);
}

function parseMetrics(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
      if (name === undefined) throw new Error(`not a sample: ${line}`);
      const pairs = Array.from(labels.matchAll(/(\w+)="([^"]*)"/g), ([, key, quoted]) => [key, quoted]);
      return [keyOf(name, Object.fromEntries(pairs) as Labels), Number(value)];
    }),
  );
}

function keyOf(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  return `${name}{${pairs.toSorted().join(',')}}`;
}
