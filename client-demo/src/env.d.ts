interface ImportMetaEnv {
  /** The server's address, e.g. `http://localhost:1234`; without it, whoever serves the page. */
  readonly VITE_INDELIBLE_URL?: string;
}

interface Window {
  /** Of Trusted Types, which not every browser has, what this page uses. */
  readonly trustedTypes?: {
    createPolicy(
      name: string,
      rules: { createScriptURL: (url: string) => string },
    ): {
      /** Not text, but it goes where text does. */
      createScriptURL(url: string): string;
    };
  };
}
