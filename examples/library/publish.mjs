// Builds the image of a directory, and pushes it when the build was good: node publish.mjs DIR registry.example/team/app:v1
import { build, isOcibuildError, push } from 'ocibuild';

const [context = '.', name = 'app:latest'] = process.argv.slice(2);
const job = build({ context, tags: [name], buildArgs: { VERSION: process.env.VERSION ?? 'dev' } });

const names = new Map();
for await (const event of job) {
  if (event.kind === 'vertex') names.set(event.vertex, event.name);
  if (event.kind === 'completed' && !event.vertex.startsWith('internal:')) console.error(`done    ${names.get(event.vertex)}`);
}

try {
  const { totalSteps, cachedSteps } = await job;
  console.error(`${cachedSteps} of ${totalSteps} steps from the cache`);
  const { digest } = await push({ name });
  console.log(`${name}@${digest}`);
} catch (error) {
  if (!isOcibuildError(error)) throw error;
  console.error(`${error.code}: ${error.message}`);
  if (error.hint !== undefined) console.error(`hint: ${error.hint}`);
  process.exitCode = error.category === 'build' ? 1 : 4;
}
