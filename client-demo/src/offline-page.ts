const script = './service-worker.js';

/** Keeps the page itself in this browser, so that it opens without the network. */
export async function keepPage(): Promise<void> {
  // Only pages that came over HTTPS, or from this machine, have service workers; hot reload has no built one.
  if (!('serviceWorker' in navigator) || import.meta.env.DEV) return;
  // The Content-Security-Policy allows scripts of this one policy, which knows one script.
  const policy = window.trustedTypes?.createPolicy('service-worker', { createScriptURL: () => script });
  try {
    await navigator.serviceWorker.register(policy?.createScriptURL('') ?? script);
  } catch {
    // The server went away meanwhile, or the browser allows none: then the page is kept another time.
  }
}
