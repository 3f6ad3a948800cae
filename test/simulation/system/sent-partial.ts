/** A worker's partial in its envelope. */
export interface SentPartial {
  readonly message: {
    readonly type: string;
    readonly round: number;
    readonly lo: number;
    readonly hi: number;
  };
}

export const isPartial = (body: unknown): body is SentPartial =>
  (body as { message?: { type: string } }).message?.type === 'partial';

/** Whether it is an order to compute, in its envelope. */
export const isOrder = (body: unknown): body is object =>
  (body as { message?: { type: string } }).message?.type === 'compute';
