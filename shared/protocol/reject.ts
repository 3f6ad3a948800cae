import { z } from 'zod';

/**
 * Every reason for which a peer, or one message of it, is turned away, with the sentence it is told. On a
 * WebSocket a connection that is closed for such a reason carries the status code 4000 + the position here,
 * so entries are only ever added at the end.
 */
export const rejections = {
  goodbye: 'We are done; nothing is wrong.',
  auth_failed: 'You do not hold the token of this run.',
  protocol_version: 'You speak another version of the protocol.',
  handshake_timeout: 'You took too long to authenticate.',
  too_many_strangers: 'Too many peers are authenticating at the moment; come back in a few seconds.',
  malformed: 'You sent bytes that are not a frame of this protocol.',
  invalid_message: 'You sent a message that this protocol does not define.',
  out_of_order: 'You sent a message that has no place at this point.',
  oversize: 'You sent more bytes than are allowed at this point.',
  checksum: 'Bytes that you sent do not match their checksum.',
  wrong_run: 'You speak of another run.',
  stale_term: 'You follow a coordinator that has been replaced.',
  stale_incarnation: 'You speak for a connection that has been replaced.',
  stale_step: 'You computed this for a step that is already committed.',
  not_assigned: 'You computed something that you were not asked for.',
  manifest_mismatch: 'The model you built has other weights than the model of this run.',
  fingerprint_mismatch: 'Your results would differ in their bits from those of this run.',
  job_mismatch: 'Your copy of the job file is not the one this run uses.',
  silent: 'You have not been heard from for too long.',
  unread: 'You do not read what you are sent; too much of it is waiting.',
  failed: 'You reported an error that you cannot recover from.',
  too_many_messages: 'You sent more messages than you were asked for.',
  wrong_result: 'You computed other bits than two other workers, which agree.',
} as const satisfies Record<string, string>;

export type RejectCode = keyof typeof rejections;

export const rejectCodes = Object.keys(rejections) as [RejectCode, ...RejectCode[]];

export const rejectCode = z.enum(rejectCodes);
