import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { strangerLimits } from '../../shared/transport/connection.js';
import { WebSocketConnection, webSocketOptions } from '../../shared/transport/websocket.js';

export interface TlsOptions {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

/** Where a connection comes from. */
export interface Origin {
  /** The same for all connections of one machine. */
  readonly address: string;
  /** With its port, for people. */
  readonly peer: string;
}

export interface SocketServerOptions {
  readonly tls: TlsOptions | null;
  readonly maxConnections: number;
  /** For TLS and for HTTP's headers. */
  readonly openingTimeoutMs: number;
  /** Web pages that may connect, as browsers name them: `https://example.org`. Default none. */
  readonly allowedOrigins?: readonly string[];
  /** Someone has connected, before TLS; false hangs up at once. Default: everyone may. */
  knock?(origin: Origin): boolean;
  /** A socket is open, and has said nothing yet; false refuses it. */
  admit(stream: Duplex, origin: Origin): boolean;
  /** A WebSocket is open, with the limits of a stranger. */
  onConnection(connection: WebSocketConnection, stream: Duplex, origin: Origin): void;
  /** A socket, admitted unless it is TLS that failed, opens no WebSocket; it is closed. */
  onRefused?(
    stream: Duplex,
    origin: Origin,
    code: 'no_tls' | 'no_websocket' | 'origin_refused',
    reason: string,
  ): void;
}

/**
 * An HTTP server, not yet listening, that does nothing but open WebSockets.
 * @throws LockstepError BAD_OPTION if certificate or key cannot be used
 */
export function createSocketServer(options: SocketServerOptions): Server {
  const { tls, maxConnections, openingTimeoutMs, allowedOrigins = [], onRefused = () => {} } = options;
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

  server.on('connection', (socket: Socket) => {
    // Of a TLS server: the bare socket, whose TLS is still to come.
    if (options.knock?.(originOf(socket)) === false) socket.destroy();
  });
  server.on(tls === null ? 'connection' : 'secureConnection', (stream: Socket) => {
    if (!stream.destroyed && !options.admit(stream, originOf(stream))) stream.destroy();
  });
  server.on('tlsClientError', (error: Error, stream: Socket) => {
    onRefused(stream, originOf(stream), 'no_tls', error.message);
  });
  server.on('clientError', (error: Error & { code?: string }, stream: Duplex) => {
    const origin = originOf(stream as Socket);
    if (error.code !== 'ECONNRESET') onRefused(stream, origin, 'no_websocket', error.message);
    stream.destroy();
  });
  server.on('request', (request: IncomingMessage, response) => {
    onRefused(request.socket, originOf(request.socket), 'no_websocket', 'plain HTTP');
    response.writeHead(426, { connection: 'close', upgrade: 'websocket' }).end();
  });
  server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    const origin = originOf(request.socket);
    const page = request.headers.origin;
    if (page !== undefined && !allowedOrigins.includes(page)) {
      const reason = `the web page ${page.slice(0, 200)} is not on the list of --allow-origin`;
      onRefused(stream, origin, 'origin_refused', reason);
      stream.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, stream, head, (socket) => {
      options.onConnection(
        new WebSocketConnection(socket, stream, origin.peer, strangerLimits),
        stream,
        origin,
      );
    });
  });
  sockets.on('wsClientError', (error: Error, stream: Duplex, request: IncomingMessage) => {
    onRefused(stream, originOf(request.socket), 'no_websocket', error.message);
    stream.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
  return server;
}

/** A socket that has closed has forgotten where it came from. */
function originOf({ remoteAddress, remotePort }: Socket): Origin {
  const address = remoteAddress ?? 'unix';
  return { address, peer: address === 'unix' ? 'unix' : `${address}:${remotePort}` };
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
