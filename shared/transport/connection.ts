import type { FrameLimits, Payload } from '../protocol/frame.js';
import type { RejectCode } from '../protocol/reject.js';

/** Why a connection ended: a reason of the protocol, or `lost` when it broke without one. */
export type CloseCode = RejectCode | 'lost';

export interface CloseInfo {
  readonly code: CloseCode;
  /** One line for people. */
  readonly reason: string;
  readonly by: 'us' | 'peer' | 'network';
}

export interface ConnectionLimits extends FrameLimits {
  /** Bytes sent but not yet handed to the network; one more frame closes the connection with `unread`. */
  readonly maxBufferedBytes: number;
  /**
   * Bytes that may arrive while these limits hold; more closes the connection with `oversize`. This bounds
   * what a stranger can make us hold, whatever it calls its messages. Null: no bound.
   */
  readonly maxReceivedBytes: number | null;
}

/** For peers that have not authenticated: room for the handshake and nothing else. */
export const strangerLimits: ConnectionLimits = {
  maxHeaderBytes: 2_048,
  maxPayloadBytes: 0,
  maxBufferedBytes: 64 * 1_024,
  maxReceivedBytes: 8 * 1_024,
};

/** For authenticated peers, unless the model and batch are known to need more. */
export const peerLimits: ConnectionLimits = {
  maxHeaderBytes: 16 * 1_024 * 1_024,
  maxPayloadBytes: 2 ** 31 - 1,
  maxBufferedBytes: 2 ** 32,
  maxReceivedBytes: null,
};

/** For authenticated peers until a program says what payloads are for: none has a place before. */
export const unpreparedLimits: ConnectionLimits = { ...peerLimits, maxPayloadBytes: 0 };

/**
 * One end of an ordered, reliable stream of frames: the port that transports implement. A peer that breaks the
 * rules of framing is closed with a coded reason; nothing it sends is thrown at the owner of the connection.
 */
export interface Connection {
  /** Where the peer is, for logs. */
  readonly peer: string;
  readonly bufferedBytes: number;
  /**
   * Resolves, once, when nothing can be received any more: this end closes, the other end has closed, or it broke.
   * Never rejects. What is still to be sent may hold `closed` up.
   */
  readonly ending: Promise<CloseInfo>;
  /** Resolves, once, when both directions have ended; never rejects. */
  readonly closed: Promise<CloseInfo>;
  /**
   * Sends one frame; on a closed connection it does nothing, as no sender can know that in time.
   * @param body plain data, as in JSON
   * @param payload lent to the connection and not copied: leave it unchanged until `onReleased` is called
   */
  send(body: object, payload?: Payload, onReleased?: () => void): void;
  /**
   * Sets the receiver of all frames from here on; frames that came before the first one are kept for it.
   * The payload belongs to the receiver and is alone in its buffer.
   */
  onMessage(receive: (body: unknown, payload: Uint8Array) => void): void;
  setLimits(limits: ConnectionLimits): void;
  /** Sends what is buffered, then ends the connection. Nothing is received any more. */
  close(code: RejectCode, reason?: string): void;
}
