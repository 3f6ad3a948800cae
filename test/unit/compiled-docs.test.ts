import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { emitterVersion } from '../../worker/compute/compiled/emitter-version.js';
import { kernelTable } from '../../worker/compute/compiled/kernels/table.js';

const text = readFileSync(new URL('../../docs/backends.md', import.meta.url), 'utf8');

it('lists the kernels that compile in docs/backends.md, and the version that fingerprints name', () => {
  const [, section] = text.split('## Kernels that onnx maps');
  const list = section.split('\n\n')[2];
  const listed = [...list.matchAll(/`(\w+)`/g)].map(([, name]) => name);
  expect(listed).toEqual(Object.keys(kernelTable).sort());
  expect(text).toContain(`program compiled@${emitterVersion}`);
});
