import { beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import manifest from '../../package.json' with { type: 'json' };
import { describeSettings } from '../../server/config.ts';
import { Metrics } from '../../server/metrics.ts';
import { shipped } from '../helpers/balancers.ts';
import { freePort } from '../helpers/ports.ts';
import { startNode } from '../helpers/processes.ts';
import { readiness } from '../helpers/readiness.ts';
import { repositoryFiles } from '../helpers/repository.ts';
import { startServer } from '../helpers/server.ts';

const settings = new Map(describeSettings().map(({ env, fallback }) => [env, fallback]));
const PORT = Number(settings.get('PORT'));
const SHUTDOWN_S = Number(settings.get('SHUTDOWN_MS')) / 1000;
const HEARTBEAT_S = Number(settings.get('HEARTBEAT_MS')) / 1000;
/** How long /readyz waits for Postgres. */
const PROBE_S = 2;

const files = repositoryFiles('deploy');

function read(path: string): string {
  const text = files.get(path);
  if (text === undefined) throw new Error(`there is no deploy/${path}`);
  return text;
}

/** The YAML documents of a file. */
function documentsOf<T>(path: string): T[] {
  return parseAllDocuments(read(path)).map((document) => {
    if (document.errors.length > 0) throw new Error(`deploy/${path}: ${document.errors.join(', ')}`);
    // Anchors are merged as Compose merges them.
    return document.toJS() as T;
  });
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what a file holds is known where it is read
function only<T>(path: string): T {
  const [first, ...others] = documentsOf<T>(path);
  if (first === undefined || others.length > 0) throw new Error(`deploy/${path} is not one document`);
  return first;
}

/** Seconds, as in `30s`, `2m` and `500ms`. */
function seconds(time: string | number): number {
  const [, number, unit = 's'] = /^(\d+)(ms|s|m)?$/.exec(`${time}`) ?? [];
  if (number === undefined) throw new Error(`${time} is no time`);
  return Number(number) * { ms: 0.001, s: 1, m: 60 }[unit as 'ms' | 's' | 'm'];
}

/** Those that are no settings of the server. */
function unknown(names: string[]): string[] {
  return names.filter((name) => !settings.has(name));
}

interface Probe {
  httpGet?: { path: string; port: string };
  timeoutSeconds?: number;
}

interface Container {
  image: string;
  args?: string[];
  ports: { name: string; containerPort: number }[];
  env: { name: string; value?: string; valueFrom?: { secretKeyRef?: { name: string; key: string } } }[];
  startupProbe?: Probe & { periodSeconds: number; failureThreshold: number };
  livenessProbe: Probe;
  readinessProbe: Probe;
  lifecycle: { preStop: { exec: { command: [string, string] } } };
  volumeMounts?: { name: string; mountPath: string }[];
}

interface Deployment {
  kind: 'Deployment';
  metadata: { name: string };
  spec: {
    replicas?: number;
    selector: { matchLabels: Record<string, string> };
    strategy: { rollingUpdate: { maxSurge: number } };
    template: {
      metadata: { labels: Record<string, string>; annotations?: Record<string, string> };
      spec: {
        terminationGracePeriodSeconds: number;
        containers: [Container];
        volumes?: { name: string; configMap: { name: string } }[];
      };
    };
  };
}

interface Service {
  kind: 'Service';
  metadata: { name: string };
  spec: {
    clusterIP?: string;
    selector: Record<string, string>;
    ports: { name: string; port: number; targetPort: string }[];
  };
}

interface Compose {
  services: Record<
    string,
    {
      image: string;
      build?: { context: string; dockerfile: string };
      environment?: Record<string, string>;
      stop_grace_period?: string;
      healthcheck?: { test: string[]; timeout?: string };
      ports?: string[];
      volumes?: string[];
      depends_on?: Record<string, unknown> | string[];
    }
  >;
  volumes: Record<string, unknown>;
}

describe('the manifests for Kubernetes', () => {
  const instances = only<Deployment>('kubernetes/deployment.yaml');
  const service = only<Service>('kubernetes/service.yaml');
  const [router, routerService] = documentsOf<Deployment | Service>('kubernetes/router.yaml') as [
    Deployment,
    Service,
  ];
  const { spec: pod } = instances.spec.template;
  const [container] = pod.containers;

  test('[Z7] an instance listens where the probes, the service and Prometheus ask', () => {
    expect(container.ports).toEqual([{ name: 'http', containerPort: PORT }]);
    expect(service.spec.ports).toEqual([{ name: 'http', port: PORT, targetPort: 'http' }]);
    expect(instances.spec.template.metadata.annotations).toEqual({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': `${PORT}`,
      'prometheus.io/path': '/metrics',
    });
    // An address of its own, or nobody could choose.
    expect(service.spec.clusterIP).toBe('None');
    expect(routerService.spec.ports[0]?.targetPort).toBe(
      router.spec.template.spec.containers[0].ports[0]?.name,
    );
  });

  test('[Z7] alive is the process, ready is the server, and probes wait for the answer', () => {
    const { startupProbe, livenessProbe, readinessProbe } = container;
    expect(startupProbe?.httpGet).toEqual({ path: '/healthz', port: 'http' });
    expect(livenessProbe.httpGet).toEqual({ path: '/healthz', port: 'http' });
    expect(readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'http' });
    expect(readinessProbe.timeoutSeconds).toBeGreaterThan(PROBE_S);
    // The server waits 30 s for Postgres before it gives up by itself.
    const { periodSeconds = 0, failureThreshold = 0 } = startupProbe ?? {};
    expect(periodSeconds * failureThreshold).toBeGreaterThan(60);
  });

  test('[Z7] a pod has the time that it needs to stop', () => {
    const [program, wait] = container.lifecycle.preStop.exec.command;
    expect(program).toBe('sleep');
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(Number(wait) + SHUTDOWN_S + 1);
  });

  test('[Z7] its environment is settings, and the secrets are those of the example, which has none in it', () => {
    expect(unknown(container.env.map(({ name }) => name))).toEqual([]);
    const secret = only<{ metadata: { name: string }; stringData: Record<string, string> }>(
      'kubernetes/secret.example.yaml',
    );
    const wanted = container.env.flatMap(({ name, valueFrom }) => {
      if (valueFrom?.secretKeyRef === undefined) return [];
      expect(valueFrom.secretKeyRef).toEqual({ name: secret.metadata.name, key: name });
      return [name];
    });
    expect(wanted.toSorted()).toEqual(Object.keys(secret.stringData).toSorted());
    for (const value of Object.values(secret.stringData)) expect(value).toMatch(/<\w+>/);
  });

  test('[Z7] whatever selects pods selects them', () => {
    const labels = [instances, router].map(({ spec }) => spec.template.metadata.labels);
    const budgets = documentsOf<{ spec: { selector: { matchLabels: object } } }>(
      'kubernetes/disruption-budget.yaml',
    );
    expect([instances, router].map(({ spec }) => spec.selector.matchLabels)).toEqual(labels);
    expect([service, routerService].map(({ spec }) => spec.selector)).toEqual(labels);
    expect(budgets.map(({ spec }) => spec.selector.matchLabels)).toEqual(labels);
    const ingress = only<{
      spec: {
        rules: [{ http: { paths: [{ backend: { service: { name: string; port: { name: string } } } }] } }];
      };
    }>('kubernetes/ingress.yaml');
    const { name, port } = ingress.spec.rules[0].http.paths[0].backend.service;
    expect(name).toBe(routerService.metadata.name);
    expect(port.name).toBe(routerService.spec.ports[0]?.name);
  });

  test('[Z7] the autoscaler counts a metric that there is, and the router has room for as many as it makes', async () => {
    const { spec } = only<{
      spec: {
        scaleTargetRef: { kind: string; name: string };
        minReplicas: number;
        maxReplicas: number;
        metrics: { type: string; pods?: { metric: { name: string } } }[];
      };
    }>('kubernetes/autoscaler.yaml');
    expect(spec.scaleTargetRef).toMatchObject({ kind: 'Deployment', name: instances.metadata.name });
    expect(instances.spec.replicas).toBeUndefined();
    expect(spec.minReplicas).toBeGreaterThan(1);
    const [metric] = spec.metrics.flatMap(({ pods }) => pods?.metric.name ?? []);
    expect(await new Metrics().text()).toContain(`# TYPE ${metric} gauge\n`);
    const templates = Array.from(
      read('kubernetes/haproxy.cfg').matchAll(/ server-template \S+ (\d+) "([^."]+)\.\S+:(\d+)"/g),
      ([, slots, host, port]) => ({ slots: Number(slots), host, port: Number(port) }),
    );
    expect(templates).toHaveLength(2);
    for (const { slots, host, port } of templates) {
      expect(slots).toBeGreaterThanOrEqual(spec.maxReplicas + instances.spec.strategy.rollingUpdate.maxSurge);
      expect({ host, port }).toEqual({ host: service.metadata.name, port: PORT });
    }
  });

  test('[Z7] the router is HAProxy with the file beside it', () => {
    const { resources, configMapGenerator } = only<{
      resources: string[];
      configMapGenerator: [{ name: string; files: string[] }];
    }>('kubernetes/kustomization.yaml');
    const [{ args, ports, env, volumeMounts }] = router.spec.template.spec.containers;
    expect(router.spec.template.spec.volumes?.map(({ configMap }) => configMap.name)).toEqual([
      configMapGenerator[0].name,
    ]);
    expect(args?.at(-1)).toBe(`${volumeMounts?.[0]?.mountPath}/${configMapGenerator[0].files[0]}`);
    expect(ports.map(({ containerPort }) => containerPort)).toEqual(listensAt('kubernetes/haproxy.cfg'));
    const variables = Array.from(read('kubernetes/haproxy.cfg').matchAll(/\$\{(\w+)\}/g), ([, name]) => name);
    expect(env.map(({ name }) => name)).toEqual([...new Set(variables)]);

    const shippedFiles = [...files.keys()].flatMap(
      (path) => /^kubernetes\/(.*\.yaml)$/.exec(path)?.[1] ?? [],
    );
    const notApplied = shippedFiles.filter((path) => !resources.includes(path));
    expect(resources.filter((path) => !shippedFiles.includes(path))).toEqual([]);
    expect(notApplied.toSorted()).toEqual(['kustomization.yaml', 'secret.example.yaml']);
  });

  test('[Z7] the image is that of this version', () => {
    expect(container.image).toMatch(
      new RegExp(`/${manifest.name}:${manifest.version.replaceAll('.', '\\.')}$`),
    );
  });
});

describe('the compose file', () => {
  const { services, volumes } = only<Compose>('compose.yaml');
  const instances = Object.entries(services).filter(([, { build }]) => build !== undefined);

  test('[Z7] its instances are those that nginx and HAProxy send to, at the port that they listen on', () => {
    const addresses = instances.map(([name]) => `${name}:${PORT}`);
    expect(addresses).toHaveLength(2);
    for (const path of ['nginx.conf', 'haproxy.cfg']) {
      const servers = Array.from(
        read(path).matchAll(/^ +server (?:\S+ )?(\S+:\d+)/gm),
        ([, address]) => address,
      );
      // Once by document, once by load.
      expect(servers, path).toEqual([...addresses, ...addresses]);
    }
    const { nginx } = services;
    expect(nginx?.ports?.map((mapping) => Number(mapping.split(':').at(-1)))).toEqual(
      listensAt('nginx.conf'),
    );
    expect(listensAt('haproxy.cfg')).toEqual(listensAt('nginx.conf'));
    expect(nginx?.depends_on).toEqual(instances.map(([name]) => name));
    for (const mount of nginx?.volumes ?? [])
      expect(files.has(mount.split(':')[0]?.slice(2) ?? '')).toBe(true);
  });

  test('[Z7] each has settings only, the time that it needs to stop, and is asked long enough', () => {
    for (const [name, { environment = {}, stop_grace_period: grace = 0, healthcheck }] of instances) {
      expect(unknown(Object.keys(environment)), name).toEqual([]);
      expect(seconds(grace), name).toBeGreaterThan(SHUTDOWN_S);
      expect(seconds(healthcheck?.timeout ?? 0), name).toBeGreaterThan(PROBE_S);
    }
  });

  test('[Z7] the check of an instance passes when that is ready, and fails when nobody is there', async () => {
    const { url } = await startServer();
    for (const [name, { healthcheck }] of instances) {
      const [kind, program, ...args] = healthcheck?.test ?? [];
      expect([kind, program], name).toEqual(['CMD', 'node']);
      const check = async (port: string) => {
        const elsewhere = args.map((arg) =>
          arg.replace(`http://127.0.0.1:${PORT}/readyz`, `http://127.0.0.1:${port}/readyz`),
        );
        expect(elsewhere, name).not.toEqual(args);
        return (await startNode(elsewhere)).exited;
      };
      expect(await check(new URL(url).port), name).toMatchObject({ code: 0 });
      expect(await check(`${await freePort()}`), name).toMatchObject({ code: 1 });
    }
  });

  test('[Z7] the services that it names are there, and what they keep', () => {
    const { DATABASE_URL = '', REDIS_URL = '' } = instances[0]?.[1].environment ?? {};
    const { hostname, username, pathname } = new URL(DATABASE_URL.replace(/\$\{.*?\}/, 'secret'));
    const { environment } = services[hostname] ?? {};
    expect(environment).toMatchObject({ POSTGRES_USER: username, POSTGRES_DB: pathname.slice(1) });
    // The same variable of .env on both sides.
    expect(DATABASE_URL).toContain(environment?.['POSTGRES_PASSWORD']);
    expect(Object.keys(services)).toContain(new URL(REDIS_URL).hostname);
    for (const { depends_on: others = [] } of Object.values(services)) {
      const names = Array.isArray(others) ? others : Object.keys(others);
      expect(names.filter((name) => services[name] === undefined)).toEqual([]);
    }
    expect(Object.keys(volumes)).toEqual([services[hostname]?.volumes?.[0]?.split(':')[0]]);
  });

  test('[Z7] its image is built from files that there are, and starts what the package starts', () => {
    const { build } = instances[0]?.[1] ?? {};
    expect(build).toEqual({ context: '..', dockerfile: 'deploy/Dockerfile' });
    const dockerfile = read('Dockerfile');
    const repository = [...repositoryFiles().keys()];
    const copied = Array.from(dockerfile.matchAll(/^COPY (?!--)(.*) \S+$/gm), ([, paths = '']) =>
      paths.split(' '),
    );
    const ignored = read('Dockerfile.dockerignore');
    for (const path of copied.flat()) {
      expect(
        repository.some((file) => file === path || file.startsWith(`${path}/`)),
        path,
      ).toBe(true);
      expect(ignored, path).toContain(`\n!${path}\n`);
    }
    expect(dockerfile).toContain(`\nEXPOSE ${PORT}\n`);
    const main = manifest.bin.indelible.replace('./', '');
    const options = manifest.scripts.start.match(/--\S+/g) ?? [];
    const command = ['node', ...options, main, 'serve'].map((word) => `"${word}"`).join(', ');
    expect(dockerfile).toContain(`\nCMD [${command}]\n`);
    const [, variables = ''] = /^ENV (.*)$/m.exec(dockerfile) ?? [];
    const names = variables.split(' ').map((variable) => variable.split('=')[0] ?? '');
    expect(unknown(names)).toEqual(['NODE_ENV']);
  });
});

describe('the load balancers', () => {
  let health: number[];
  beforeAll(async () => {
    const { url } = await startServer();
    const { code } = await readiness(url);
    health = [code, (await fetch(`${url}/healthz`)).status, (await fetch(`${url}/metrics`)).status];
  });

  test('[Z7] what probes, checks and Prometheus ask for is there', () => {
    expect(health).toEqual([200, 200, 200]);
  });

  test('[Z7] they wait longer for a socket than it takes to notice that it is dead', async () => {
    const nginx = await shipped('nginx.conf', {});
    const haproxy = await shipped('haproxy.cfg', {});
    const times = [
      ...Array.from(nginx.matchAll(/proxy_(?:read|send)_timeout (\S+);/g), ([, time = '']) => time),
      ...Array.from(
        haproxy.matchAll(/^ +timeout (?:client|server|tunnel) (\S+)$/gm),
        ([, time = '']) => time,
      ),
    ];
    expect(times).toHaveLength(5);
    for (const time of times) expect(seconds(time)).toBeGreaterThan(3 * HEARTBEAT_S);
    const [, check = ''] = /^ +timeout check (\S+)$/m.exec(haproxy) ?? [];
    expect(seconds(check)).toBeGreaterThan(PROBE_S);
    for (const [, path] of haproxy.matchAll(/http-check send meth GET uri (\S+)/g))
      expect(path).toBe('/readyz');
  });

  test('[Z7] nginx takes in what the server takes', async () => {
    const [, megabytes] = /client_max_body_size (\d+)m;/.exec(await shipped('nginx.conf', {})) ?? [];
    const limits = ['LIMIT_FRAME_BYTES', 'LIMIT_DOCUMENT_BYTES'].map((name) => Number(settings.get(name)));
    expect(Number(megabytes) * 1024 * 1024).toBeGreaterThan(Math.max(...limits));
  });
});

/** The ports that nginx or HAProxy listens on. */
function listensAt(path: string): number[] {
  return Array.from(read(path).matchAll(/^ +(?:listen |bind \S*:)(\d+)/gm), ([, port]) => Number(port));
}
