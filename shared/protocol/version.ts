/** Raised whenever a frame, a handshake message or a message of either direction changes. */
export const protocolVersion = 5;
