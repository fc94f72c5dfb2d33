/** What is sent to the HTTP API. */
export interface Asked {
  method?: string;
  token?: string | undefined;
  /** JSON unless it is bytes or text. */
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Answered {
  status: number;
  etag: string | null;
  headers: Headers;
  /** Of a problem: its code. */
  code: string | undefined;
  text: string;
  json: unknown;
}

/** Asks `/api` + path. */
export async function ask(
  url: string,
  path: string,
  { method = 'GET', token, body, headers }: Asked = {},
): Promise<Answered> {
  const isPlain = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
  const type = body instanceof Uint8Array ? 'application/octet-stream' : 'application/json';
  const response = await fetch(`${url}/api${path}`, {
    method,
    headers: {
      ...(body !== undefined && { 'Content-Type': type }),
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body !== undefined && { body: isPlain ? (body as string) : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json =
    /json/.test(response.headers.get('content-type') ?? '') && text !== ''
      ? (JSON.parse(text) as unknown)
      : undefined;
  return {
    status: response.status,
    etag: response.headers.get('etag'),
    headers: response.headers,
    code: (json as { code?: string } | undefined)?.code,
    text,
    json,
  };
}

/** `status code`, or `status` alone where there is no problem. */
export function told({ status, code }: Answered): string {
  return [status, code].filter(Boolean).join(' ');
}

/** The path of a document. */
export function at(name: string, rest = ''): string {
  return `/documents/${encodeURIComponent(name)}${rest}`;
}

/** A PATCH of operations. */
export function patch(...operations: object[]): Asked {
  return { method: 'PATCH', body: { operations } };
}

/** A PATCH that appends a text, once. */
export function keyed(key: string, text: string) {
  return { ...patch({ op: 'append', text }), headers: { 'Idempotency-Key': key } };
}
