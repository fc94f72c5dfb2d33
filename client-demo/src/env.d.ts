interface ImportMetaEnv {
  /** The server's address, e.g. `http://localhost:1234`; without it, whoever serves the page. */
  readonly VITE_INDELIBLE_URL?: string;
}
