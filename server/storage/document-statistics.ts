/** What is stored of a document. */
export interface DocumentStatistics {
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /**
   * When the last edit was made, milliseconds since 1970; `null` when there is none. Where a snapshot holds it that was written by a server
   * without migration 005, when that was, or an earlier edit.
   */
  readonly lastEditAt: number | null;
  /** Updates that no snapshot holds yet. */
  readonly rows: number;
  /** Of those. */
  readonly rowBytes: number;
  readonly snapshotBytes: number;
  /** Milliseconds since 1970; `null` without one. */
  readonly snapshotAt: number | null;
  /** Updates that cannot be read and were set aside. */
  readonly setAside: number;
}
