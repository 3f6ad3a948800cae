import type { InitializeHook, ResolveHook } from 'node:module';

/**
 * Module hooks for job files, run by Node in its loader thread. Two things would otherwise go wrong:
 *
 * - A job may find another installation of Lockstep or TensorFlow.js than the one that runs it (a global
 *   install, a workspace). Two instances share neither registered layers nor kernels, so these two names
 *   always lead to the running one.
 * - In a folder whose package.json does not say `"type": "module"`, a `.ts` job counts as CommonJS and could not
 *   import ES modules on every Node we support. TypeScript outside node_modules is always an ES module here.
 */

/** What `register` hands to the hooks: the URL for each name that has one instance. */
export interface JobHooksData {
  readonly instances: Readonly<Record<string, string>>;
}

let instances: JobHooksData['instances'] = {};

export const initialize: InitializeHook<JobHooksData> = (data) => {
  instances = data.instances;
};

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  const resolved = await nextResolve(instances[specifier] ?? specifier, context);
  if (!resolved.url.startsWith('file:') || resolved.url.includes('/node_modules/')) return resolved;
  return /\.tsx?$/.test(new URL(resolved.url).pathname) ? { ...resolved, format: 'module' } : resolved;
};
