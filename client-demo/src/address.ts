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
  const segments = path.split('/').map(decode).filter(isSegment);
  const name = segments.join('/') || defaultName;
  const token = new URLSearchParams(query).get('token') ?? new URLSearchParams(search).get('token');
  return { name, path: name.split('/').map(encodeURIComponent).join('/'), token: token ?? undefined };
}

/** Where the server is, for a WebSocket: this page's own server unless the build names another. */
export function serverUrl(): string {
  const url = new URL(import.meta.env.VITE_INDELIBLE_URL ?? location.origin);
  return url.href.replace(/^http/, 'ws');
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
