import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { privateSocketPath } from '../../coordinator/server/bind.js';
import { connect } from '../../worker/connect.js';
import { coordinator, token } from './listening-coordinator.js';

describe('listening', () => {
  it('refuses a taken port and a taken socket', async () => {
    const { url } = await coordinator();
    const port = Number(new URL(url).port);
    await expect(coordinator({ address: { host: '127.0.0.1', port } })).rejects.toMatchObject({
      code: 'ADDRESS_IN_USE',
    });
    const unix = privateSocketPath();
    await coordinator({ address: { unix } });
    await expect(coordinator({ address: { unix } })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  });

  it('refuses an address that other machines reach without TLS, unless told', async () => {
    await expect(coordinator({ address: { host: '0.0.0.0', port: 0 } })).rejects.toMatchObject({
      code: 'BAD_OPTION',
      hint: expect.stringContaining('--insecure'),
    });
  });

  it('refuses an address of another machine, a certificate that is none, and a path that is too long', async () => {
    const elsewhere = { address: { host: '192.0.2.1', port: 0 }, insecure: true };
    await expect(coordinator(elsewhere)).rejects.toMatchObject({ code: 'BAD_OPTION' });
    await expect(coordinator({ tls: { cert: 'x', key: 'y' } })).rejects.toMatchObject({ code: 'BAD_OPTION' });
    await expect(coordinator({ address: { unix: `/tmp/${'x'.repeat(120)}` } })).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  it('makes a socket that only this user can reach, and leaves nothing behind', async () => {
    const unix = privateSocketPath();
    const { listener, url } = await coordinator({ address: { unix } });
    expect(statSync(unix).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(unix)).mode & 0o777).toBe(0o700);
    const session = await connect({ url, token });
    await listener.close();
    expect((await session.closed).code).toBe('goodbye');
    expect(() => statSync(dirname(unix))).toThrow('ENOENT');
  });

  it('refuses a socket in a directory that others can enter', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'open-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    chmodSync(directory, 0o755);
    await expect(coordinator({ address: { unix: join(directory, 's.sock') } })).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
  });
});
