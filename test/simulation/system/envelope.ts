/** A message as it is on the wire, as far as it is looked at. */
export interface Message {
  readonly type: string;
  readonly round?: number;
  readonly kind?: string;
  readonly step?: number;
  readonly lo?: number;
  readonly hi?: number;
  readonly code?: string;
  readonly shard?: number | null;
  readonly order?: { readonly round: number; readonly lo: number; readonly hi: number } | null;
}

/** With what it is of. */
export interface Envelope {
  readonly run: string;
  readonly term: number;
  readonly incarnation: number;
  readonly message?: Message;
}
