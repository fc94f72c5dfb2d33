// Keeps the page in the browser. While there is a network the page comes from the server, and is kept anew; its parts
// have a new name whenever they change, and come from here. Documents are kept by the page, not here.

/** What a service worker has that a page has not, as far as it is used here. */
interface ServiceWorker {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: WorkEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
}

interface WorkEvent {
  waitUntil(work: Promise<unknown>): void;
}

interface FetchEvent extends WorkEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const worker = self as unknown as ServiceWorker;
const cacheName = 'indelible-page';
const page = worker.registration.scope;
/** A network that is there and does not answer is waited for this long, in ms. */
const patience = 3000;

worker.addEventListener('install', (event) => event.waitUntil(install()));
worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  const path = url.split(/[?#]/, 1)[0] ?? '';
  if (method !== 'GET') return;
  if (path === page) event.respondWith(servePage(event));
  else if (path.startsWith(`${page}assets/`) || path === `${page}icon.svg`) {
    event.respondWith(servePart(event.request));
  }
});

async function install(): Promise<void> {
  await keep(await fetch(page, { cache: 'no-store' }));
  await worker.skipWaiting();
}

/** Keeps a page with all parts that it names, and nothing else. */
async function keep(response: Response): Promise<void> {
  if (!response.ok) throw new Error(`The page was answered with ${response.status}`);
  const html = await response.clone().text();
  const parts = Array.from(html.matchAll(/(?:src|href)="\.\/([^"]+)"/g), ([, path]) => `${page}${path}`);
  const cache = await caches.open(cacheName);
  const kept = (await cache.keys()).map(({ url }) => url);
  await cache.addAll(parts.filter((part) => !kept.includes(part)));
  await cache.put(page, response);
  const outdated = kept.filter((url) => url !== page && !parts.includes(url));
  await Promise.all(outdated.map((url) => cache.delete(url)));
}

async function servePage(event: FetchEvent): Promise<Response> {
  const kept = await caches.match(page);
  const fresh = fetch(event.request);
  if (kept === undefined) return fresh;
  // When that fails, what is kept stays.
  const renewed = fresh.then((response) => (response.ok ? keep(response.clone()) : undefined));
  event.waitUntil(renewed.catch(() => undefined));
  const answered = fresh.then(
    // Whatever else is said, that somebody has to log in for one, is for them to see.
    (response) => (response.status < 500 ? response : kept.clone()),
    () => kept.clone(),
  );
  const late = new Promise<Response>((resolve) => setTimeout(() => resolve(kept.clone()), patience));
  return Promise.race([answered, late]);
}

async function servePart(request: Request): Promise<Response> {
  return (await caches.match(request)) ?? fetch(request);
}
