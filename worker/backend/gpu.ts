import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import os from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

/** Whether the machine has an NVIDIA GPU with its driver. */
export function hasNvidiaGpu(): boolean {
  const windows = process.env.SystemRoot ?? 'C:\\Windows';
  const driver =
    process.platform === 'win32'
      ? join(windows, 'System32', 'nvidia-smi.exe')
      : '/proc/driver/nvidia/version';
  return existsSync(driver);
}

/** Drivers of Linux behind which there is no GPU of this machine. */
const drawnBySoftware = new Set(['vgem', 'vkms', 'simple-framebuffer', 'bochs-drm', 'cirrus', 'qxl']);

/**
 * Whether the machine has a GPU of which WebGPU can make use, as far as that can be told without loading a graphics
 * driver: WebGPU itself would also take one that draws on the processor, which is slower than the processor alone.
 */
export function hasGpu(): boolean {
  if (hasNvidiaGpu()) return true;
  switch (process.platform) {
    case 'darwin':
      return process.arch === 'arm64';
    case 'linux':
      return linuxGpu() !== null;
    default:
      return false;
  }
}

/** Model and driver of the NVIDIA GPU that CUDA computes on. */
export async function describeNvidiaGpu(): Promise<string> {
  const index = process.env.CUDA_VISIBLE_DEVICES?.split(',')[0]?.trim() || '0';
  try {
    const query = ['-i', index, '--query-gpu=name,driver_version', '--format=csv,noheader'];
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: 10_000 });
    const [model, driver] = stdout.trim().split(/,\s*/);
    return `${model}, driver ${driver}`;
  } catch {
    return 'GPU of unknown model';
  }
}

/** The GPU that WebGPU most likely takes, with what its bits depend on as far as it is known. */
export async function describeGpu(): Promise<string> {
  if (hasNvidiaGpu()) return describeNvidiaGpu();
  if (process.platform === 'darwin') return `${os.cpus()[0]?.model.trim()}, Darwin ${os.release()}`;
  const found = process.platform === 'linux' ? linuxGpu() : null;
  return found === null ? 'GPU of unknown model' : `${found}, Linux ${os.release()}`;
}

/** Driver and PCI number of the first GPU that renders, e.g. `amdgpu 1002:744c`. */
function linuxGpu(): string | null {
  const folder = '/sys/class/drm';
  const nodes = existsSync(folder) ? readdirSync(folder).filter((name) => /^renderD\d+$/.test(name)) : [];
  for (const node of nodes.sort()) {
    try {
      const device = join(folder, node, 'device');
      const driver = basename(realpathSync(join(device, 'driver')));
      if (drawnBySoftware.has(driver)) continue;
      const [vendor, model] = ['vendor', 'device'].map((name) =>
        readFileSync(join(device, name), 'utf8').trim().replace(/^0x/, ''),
      );
      return `${driver} ${vendor}:${model}`;
    } catch {
      // A device without a driver, or not on PCI: the next one may be a GPU.
    }
  }
  return null;
}
