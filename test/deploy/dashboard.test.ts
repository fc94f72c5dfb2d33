import { expect, test } from 'vitest';
import { Metrics } from '../../server/metrics.ts';
import { shipped } from '../helpers/balancers.ts';
import { type Metric, offencesOf } from '../helpers/promql.ts';

interface Panel {
  id: number;
  type: string;
  title: string;
  targets?: { expr: string }[];
}

interface Dashboard {
  panels: Panel[];
  templating: { list: { type: string; query: string }[] };
}

const dashboard = JSON.parse(await shipped('grafana-dashboard.json', {})) as Dashboard;
const metrics = new Metrics();
const known = metricsIn(await metrics.text());

/** What a server shows at `/metrics`. */
function metricsIn(text: string): Map<string, Metric> {
  return new Map(
    Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name = '', type = '']) => {
      // Before anything has happened a metric with labels has no sample. Its labels are not in its types, either.
      const metric = metrics.registry.getSingleMetric(name) as { labelNames?: string[] } | undefined;
      return [name, { type, labels: new Set(metric?.labelNames) }];
    }),
  );
}

test('[Z8] every query of the dashboard names metrics and labels that a server has, each as its kind is read', () => {
  const ofPanels = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [title, expr] as const),
  );
  const ofVariables = dashboard.templating.list
    .filter(({ type }) => type === 'query')
    .map(({ query }) => ['a variable', query] as const);
  expect(ofVariables).toHaveLength(1);
  const offences = [...ofPanels, ...ofVariables].flatMap(([title, query]) =>
    offencesOf(query, known).map((offence) => `${title}: ${offence}: ${query}`),
  );
  expect(offences).toEqual([]);
});

test('[Z8] every panel of the dashboard shows something, and has an id of its own', () => {
  const ids = dashboard.panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const empty = dashboard.panels.filter(({ type, targets = [] }) => type !== 'row' && targets.length === 0);
  expect(empty).toEqual([]);
});

test.each([
  ['sum(indelible_connection)', 'there is no indelible_connection'],
  ['sum by (protocol) (indelible_connections{protocols="hocuspocus"})', 'has no protocols'],
  ['sum by (code) (indelible_connections)', 'by code'],
  ['sum by (le) (indelible_documents)', 'by le'],
  ['sum(indelible_updates_total)', 'is a counter'],
  ['rate(indelible_documents[1m])', 'is a gauge'],
  ['rate(indelible_ack_latency_seconds[1m])', 'there is no indelible_ack_latency_seconds'],
  ['sum(indelible_ack_latency_seconds_bucket)', 'is a histogram'],
  ['rate(indelible_updates_total_bucket[1m])', 'there is no indelible_updates_total_bucket'],
  ['sum by (le) (rate(indelible_ack_latency_seconds_count[1m]))', 'by le'],
  ['indelible_documents / on (instance) indelible_document', 'there is no indelible_document'],
  ['label_values(indelible_connections, instances)', 'by instances'],
  ['sum(1)', 'names no metric'],
])('[Z8] a query that is wrong is caught: %s', (query, offence) => {
  expect(offencesOf(query, known)).toEqual([expect.stringContaining(offence)]);
});

test.each([
  'histogram_quantile(0.99, sum by (le) (rate(indelible_ack_latency_seconds_bucket{instance=~"$instance"}[$__rate_interval])))',
  'sum without (instance, direction) (increase(indelible_updates_total{direction!="in", job="a b"}[5m])) > 0',
  'sum(indelible_queue_updates) and max by (instance) (nodejs_eventloop_lag_p99_seconds) > 0.1',
])('[Z8] a query that is right passes: %s', (query) => {
  expect(offencesOf(query, known)).toEqual([]);
});
