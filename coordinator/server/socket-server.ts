import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { type Connection, strangerLimits } from '../../shared/transport/connection.js';
import { WebSocketConnection, webSocketOptions } from '../../shared/transport/websocket.js';

export interface TlsOptions {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

export interface SocketServerOptions {
  readonly tls: TlsOptions | null;
  readonly maxConnections: number;
  /** For TLS and for HTTP's headers. */
  readonly openingTimeoutMs: number;
  /** A socket is open, and has said nothing yet; false refuses it. */
  admit(stream: Duplex): boolean;
  /** A WebSocket is open, with the limits of a stranger. */
  onConnection(connection: Connection, stream: Duplex, address: string): void;
}

/**
 * An HTTP server, not yet listening, that does nothing but open WebSockets.
 * @throws LockstepError BAD_OPTION if certificate or key cannot be used
 */
export function createSocketServer(options: SocketServerOptions): Server {
  const { tls, maxConnections, openingTimeoutMs } = options;
  const http = {
    maxHeaderSize: 8_192,
    headersTimeout: openingTimeoutMs,
    requestTimeout: openingTimeoutMs,
    connectionsCheckingInterval: 1_000,
  };
  const server =
    tls === null
      ? createServer(http)
      : checkedTls(() => createTlsServer({ ...http, ...tls, handshakeTimeout: openingTimeoutMs }));
  server.maxConnections = maxConnections;
  const sockets = new WebSocketServer({ ...webSocketOptions, noServer: true, clientTracking: false });

  server.on(tls === null ? 'connection' : 'secureConnection', (stream: Socket) => {
    if (!options.admit(stream)) stream.destroy();
  });
  server.on('request', (_request, response) => {
    response.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end();
  });
  server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    sockets.handleUpgrade(request, stream, head, (socket) => {
      const address = request.socket.remoteAddress ?? 'unix';
      const peer = address === 'unix' ? 'unix' : `${address}:${request.socket.remotePort}`;
      options.onConnection(new WebSocketConnection(socket, stream, peer, strangerLimits), stream, address);
    });
  });
  return server;
}

function checkedTls(create: () => Server): Server {
  try {
    return create();
  } catch (cause) {
    throw new LockstepError('BAD_OPTION', `the TLS certificate and key cannot be used: ${messageOf(cause)}`, {
      hint: 'Give a certificate and its key, both as PEM.',
      cause,
    });
  }
}
