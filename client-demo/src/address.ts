/** What the page's location asks for: `/#/notes/today?token=…` or `/?token=…#/notes/today`. */
export interface Address {
  /** The document's name as people read it, e.g. `notes/today`. */
  readonly name: string;
  /** The same, encoded for the path of a URL. */
  readonly path: string;
  readonly token: string | undefined;
}

const defaultName = 'welcome';

export function readAddress({ hash, search }: { hash: string; search: string }): Address {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const name = path.split('/').map(decode).join('/');
  const token = new URLSearchParams(query).get('token') ?? new URLSearchParams(search).get('token');
  return addressOf(name, token ?? undefined);
}

/** The address of a document by its name, as somebody may have typed it. */
export function addressOf(typed: string, token: string | undefined): Address {
  const name = typed.normalize('NFC').split('/').filter(isSegment).join('/') || defaultName;
  return { name, path: name.split('/').map(encodeURIComponent).join('/'), token };
}

/** What the page's location ends with for this address. */
export function hashOf({ path, token }: Address): string {
  return `#/${path}${token === undefined ? '' : `?token=${encodeURIComponent(token)}`}`;
}

/** A link for somebody else. */
export function linkTo(address: Address): string {
  return `${location.origin}${location.pathname}${hashOf(address)}`;
}

/** Where the server is: this page's own server unless the build names another. */
export function httpUrl(path: string): URL {
  return new URL(path, import.meta.env.VITE_INDELIBLE_URL ?? location.origin);
}

/** The same, for a WebSocket. */
export function socketUrl(): string {
  return httpUrl('/').href.replace(/^http/, 'ws');
}

/** What this browser keeps of a document is kept under this: a page may be for several servers, one after the other. */
export function keyOf({ path }: Address): string {
  return `${socketUrl()}${path}`;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

// A URL drops `.` and `..` even when they are encoded, and would lead to another document.
function isSegment(segment: string): boolean {
  return segment !== '' && segment !== '.' && segment !== '..';
}
