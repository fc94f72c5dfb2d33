/** What is stored of a document. */
export interface DocumentStatistics {
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /**
   * When the last edit was made, milliseconds since 1970; where a snapshot holds it that an older server has written, when that was;
   * `null` when there is none.
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
