// Makes a container's network, tells of it in one line of JSON, and closes it when stdin ends.

import { isOcibuildError } from '../../src/errors/error.ts';
import { createContainerNetwork, sweepContainerNetwork } from '../../src/executor/container-network.ts';
import type { ContainerNetworkRequest } from '../../src/executor/types.ts';

/** The runner's one argument, as JSON. */
export type RunnerRequest =
  | Omit<ContainerNetworkRequest, 'env' | 'signal'>
  | { readonly sweep: true; readonly stateDir: string };

const request = JSON.parse(process.argv[2] ?? '') as RunnerRequest;

if ('sweep' in request) {
  await sweepContainerNetwork(request.stateDir);
} else {
  try {
    const network = await createContainerNetwork({
      ...request,
      env: process.env,
      signal: new AbortController().signal,
    });
    process.stdout.write(`${JSON.stringify(network)}\n`);
    for await (const _ of process.stdin);
    await network.close();
  } catch (error) {
    if (!isOcibuildError(error)) throw error;
    process.stdout.write(`${JSON.stringify(error)}\n`);
    process.exitCode = 3;
  }
}
