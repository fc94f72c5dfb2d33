/** Which web pages may reach the server. What sends no Origin is no browser, and may. */
export type AllowsOrigin = (origin: string | undefined, host: string | undefined) => boolean;

/**
 * @param allowed - origins like `https://app.example.org`; left out: only pages of the same host
 * @param isOpen - nobody needs a token: then only pages on this machine may, since any website that a developer visits
 * could read and write what is on their machine
 */
export function originsAllowed(allowed: readonly string[] | undefined, isOpen: boolean): AllowsOrigin {
  return (origin, host) => {
    if (allowed !== undefined) return origin === undefined || allowed.includes(origin);
    // A page may reach this machine under a name of its own (DNS rebinding), and then sends no Origin when it reads.
    if (isOpen && host !== undefined && !isLoopback(URL.parse(`http://${host}`)?.hostname ?? ''))
      return false;
    if (origin === undefined) return true;
    const url = URL.parse(origin);
    if (url === null) return false;
    return isOpen ? isLoopback(url.hostname) : url.host === host;
  };
}

/** Whether a host name is one of this machine only. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '::1' ||
    hostname === '[::1]' ||
    /^127(\.\d{1,3}){3}$/.test(hostname)
  );
}
