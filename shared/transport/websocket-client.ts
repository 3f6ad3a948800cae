import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { LockstepError, messageOf } from '../errors.js';
import type { ConnectionLimits } from './connection.js';
import { WebSocketConnection, webSocketOptions } from './websocket.js';

const unixPrefix = 'ws+unix:';

export interface WebSocketClientOptions {
  /** `ws://host:port`, `wss://host:port` or `ws+unix:/path`. */
  readonly url: string;
  /** For the connection and the WebSocket's opening together. */
  readonly timeoutMs: number;
  readonly limits: ConnectionLimits;
  /** PEM certificates to trust instead of the system's, for `wss:`. */
  readonly ca?: string | undefined;
}

/**
 * Opens a WebSocket.
 * @throws LockstepError BAD_OPTION for a URL of another form, CONNECTION_LOST if the peer cannot be reached
 */
export function openWebSocket({
  url,
  timeoutMs,
  limits,
  ca,
}: WebSocketClientOptions): Promise<WebSocketConnection> {
  const unixPath = unixPathOf(url);
  const socket = new WebSocket(unixPath === null ? checkedUrl(url) : 'ws://localhost/', {
    ...webSocketOptions,
    handshakeTimeout: timeoutMs,
    // ws skips masking for a mask of zeros, at both ends: it would cost more than sending. docs/protocol.md.
    generateMask: () => undefined,
    ...(ca === undefined ? {} : { ca }),
    ...(unixPath === null ? {} : { createConnection: () => connectSocket(unixPath) }),
  });
  return new Promise((resolve, reject) => {
    let stream: Duplex | null = null;
    const fail = (cause: Error): void => {
      reject(
        new LockstepError('CONNECTION_LOST', `cannot connect to ${url}: ${messageOf(cause)}`, {
          hint: 'See that the coordinator runs, and that this address reaches it from here.',
          cause,
        }),
      );
    };
    socket.once('error', fail);
    socket.once('upgrade', (response) => {
      stream = response.socket;
    });
    socket.once('open', () => {
      socket.off('error', fail);
      if (stream !== null) resolve(new WebSocketConnection(socket, stream, url, limits));
    });
  });
}

function unixPathOf(url: string): string | null {
  if (!url.startsWith(unixPrefix)) return null;
  const path = url.slice(unixPrefix.length).replace(/^\/\/(?=\/)/, '');
  if (path.startsWith('/')) return path;
  throw new LockstepError('BAD_OPTION', `${url} names no absolute path`, {
    hint: 'Write ws+unix:/path/to/socket.',
  });
}

function checkedUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed !== null && (parsed.protocol === 'ws:' || parsed.protocol === 'wss:')) return parsed.href;
  throw new LockstepError('BAD_OPTION', `${url} is not the URL of a coordinator`, {
    hint: 'Write ws://host:port, wss://host:port or ws+unix:/path.',
  });
}
