import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { layersAfter } from '../../../src/attest/layer-chain.ts';
import { makeProvenance, type ProvenanceOptions } from '../../../src/attest/provenance.ts';
import { makeAttestationManifest, makeStatement } from '../../../src/attest/statement.ts';
import type { BuildFacts } from '../../../src/attest/types.ts';
import type { Descriptor, Digest } from '../../../src/image/types.ts';
import { createGraph } from '../../../src/llb/definition.ts';
import type { ExecOp } from '../../../src/llb/ops.ts';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const layer = (letter: string): Descriptor => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  digest: digest(letter),
  size: 1,
  annotations: { dropped: 'yes' },
});
const amd64 = { os: 'linux', architecture: 'amd64' };
const options: ProvenanceOptions = {
  ...{ mode: 'max', version: 'v1', builderId: 'https://builder.example', reproducible: false },
  filename: 'provenance.json',
};

const file = { name: 'Dockerfile', text: 'FROM app\nRUN x\nADD https://u:secret@h/x /\n' };
const at = (line: number) => ({
  file,
  ranges: [{ start: { line, column: 1 }, end: { line, column: 4 } }],
});
const exec = (more: Partial<ExecOp>): ExecOp => ({
  kind: 'exec',
  rootfs: 0,
  args: ['/bin/sh', '-c', 'x'],
  env: ['URL=https://u:secret@h/x'],
  cwd: '/',
  user: '',
  network: 'default',
  security: 'sandbox',
  mounts: [],
  ...more,
});

function factsOf({ local = true, run = exec({}) }: { local?: boolean; run?: ExecOp } = {}): BuildFacts {
  const graph = createGraph();
  const base = graph.add(
    {
      kind: 'source',
      source: { type: 'image', manifest: digest('a'), diffIds: [digest('1'), digest('2')], platform: amd64 },
    },
    [],
    { name: 'FROM app', source: at(1) },
  );
  graph.add(exec({ args: ['unused'] }), [base], { name: 'RUN unused' });
  const ran = graph.add(run, [base], { name: 'RUN x', source: at(2) });
  const context = local
    ? graph.add({ kind: 'source', source: { type: 'local', name: 'context', ignore: [] } }, [], { name: 'c' })
    : base;
  const target = graph.add(
    {
      kind: 'file',
      base: 0,
      actions: [{ type: 'copy', from: 1, sources: [{ path: 'a', wildcard: false }], dest: '/a' }],
    },
    [ran, context],
    { name: 'COPY a /a', source: at(3) },
  );
  const definition = graph.definition();
  return {
    ...{ definition, target, builderPlatform: amd64, vcs: { revision: 'abc' }, sources: [file] },
    config: { path: 'Dockerfile' },
    args: { 'build-arg:URL': 'https://u:secret@h/x', 'label:l': 'v', target: 'app' },
    locals: local ? ['context'] : [],
    dependencies: [{ uri: 'pkg:docker/app@v1', digest: { sha256: 'a'.repeat(64) } }],
    layers: layersAfter(definition, target, [layer('1'), layer('2'), undefined, layer('4')]),
    ...{ invocationId: 'id', toolVersion: '1', startedMs: 0, finishedMs: 1500 },
  };
}

const secret = exec({
  network: 'none',
  mounts: [
    { type: 'secret', id: 'tok', target: '/t', required: false, mode: 256, uid: 0, gid: 0 },
    { type: 'secret', id: 'tok', env: 'T', required: true, mode: 256, uid: 0, gid: 0 },
    { type: 'ssh', id: 'default', target: '/s', required: false, mode: 384, uid: 0, gid: 0 },
  ],
});

describe('makeProvenance()', () => {
  it('tells arguments, steps, sources and layers when the mode is max, and masks credentials', () => {
    const { predicate, predicateType } = makeProvenance(factsOf(), options);
    expect(predicateType).toBe('https://slsa.dev/provenance/v1');
    expect(JSON.stringify(predicate)).not.toContain('secret');
    expect(predicate).toMatchObject({
      buildDefinition: {
        externalParameters: {
          configSource: { path: 'Dockerfile' },
          request: {
            frontend: 'dockerfile.v0',
            args: { 'build-arg:URL': 'https://***@h/x', 'label:l': 'v', target: 'app' },
            locals: [{ name: 'context' }],
          },
        },
        internalParameters: {
          builderPlatform: 'linux/amd64',
          buildConfig: {
            llbDefinition: [
              { id: 'step0', name: 'FROM app' },
              { id: 'step1', inputs: ['step0:0'], op: { kind: 'exec', env: ['URL=https://***@h/x'] } },
              { id: 'step2' },
              { id: 'step3', inputs: ['step1:0', 'step2:0'] },
            ],
          },
        },
      },
      runDetails: {
        builder: { id: 'https://builder.example', version: { ocibuild: '1' } },
        metadata: {
          invocationId: 'id',
          startedOn: '1970-01-01T00:00:00.000Z',
          finishedOn: '1970-01-01T00:00:01.500Z',
          buildkit_completeness: { request: true, resolvedDependencies: false },
          buildkit_metadata: {
            vcs: { revision: 'abc' },
            source: {
              locations: {
                step1: { locations: [{ ranges: [{ start: { line: 2 }, end: { line: 2 } }] }] },
                step2: {},
              },
            },
          },
        },
      },
    });
    const { source, layers } = (
      predicate as {
        runDetails: {
          metadata: { buildkit_metadata: { source: { infos: { data: string }[] }; layers: object } };
        };
      }
    ).runDetails.metadata.buildkit_metadata;
    expect(Buffer.from(source.infos[0]?.data ?? '', 'base64').toString()).toBe(
      file.text.replace('u:secret', '***'),
    );
    const plain = (letter: string) => {
      const { annotations: _, ...rest } = layer(letter);
      return rest;
    };
    expect(layers).toEqual({
      'step0:0': [[plain('1'), plain('2')]],
      'step1:0': [[plain('1'), plain('2')]],
      'step3:0': [[plain('1'), plain('2'), plain('4')]],
    });
  });

  it('tells neither values nor steps nor secrets when the mode is min', () => {
    const { predicate } = makeProvenance(factsOf({ run: secret }), { ...options, mode: 'min' });
    expect(predicate).toMatchObject({
      buildDefinition: {
        externalParameters: { request: { frontend: 'dockerfile.v0', args: { target: 'app' } } },
        internalParameters: { builderPlatform: 'linux/amd64' },
      },
      runDetails: {
        metadata: {
          buildkit_metadata: { vcs: { revision: 'abc' } },
          buildkit_completeness: { request: false },
        },
      },
    });
    for (const word of ['tok', 'buildConfig', 'infos', '"layers"', 'label:l']) {
      expect(JSON.stringify(predicate)).not.toContain(word);
    }
  });

  it('names secrets and agents by their ids, and says which must be there', () => {
    const { predicate } = makeProvenance(factsOf({ run: secret }), options);
    expect(predicate).toMatchObject({
      buildDefinition: {
        externalParameters: {
          request: { secrets: [{ id: 'tok' }], ssh: [{ id: 'default', optional: true }] },
        },
      },
    });
  });

  it('says that the build is hermetic when no step had a network and nothing came from the caller', () => {
    const metadataOf = (facts: BuildFacts): Record<string, unknown> =>
      (
        makeProvenance(facts, { ...options, reproducible: true }).predicate as {
          runDetails: { metadata: Record<string, unknown> };
        }
      ).runDetails.metadata;
    expect(metadataOf(factsOf({ local: false, run: exec({ network: 'none' }) }))).toMatchObject({
      buildkit_hermetic: true,
      buildkit_reproducible: true,
      buildkit_completeness: { resolvedDependencies: true },
    });
    expect(metadataOf(factsOf({ local: false }))).not.toHaveProperty('buildkit_hermetic');
    expect(metadataOf(factsOf({ run: exec({ network: 'none' }) }))).not.toHaveProperty('buildkit_hermetic');
  });

  it('writes the older version when it is asked for', () => {
    const made = makeProvenance(factsOf(), { ...options, version: 'v0.2' });
    expect(made.predicateType).toBe('https://slsa.dev/provenance/v0.2');
    expect(made.predicate).toMatchObject({
      materials: [{ uri: 'pkg:docker/app@v1' }],
      invocation: { configSource: { entryPoint: 'Dockerfile' }, environment: { platform: 'linux/amd64' } },
      metadata: {
        completeness: { parameters: true, environment: true, materials: false },
        reproducible: false,
      },
    });
    expect(makeStatement(made, [])._type).toBe('https://in-toto.io/Statement/v0.1');
  });
});

describe('what Docker writes', () => {
  const recorded = JSON.parse(
    readFileSync(join(import.meta.dirname, 'fixtures/docker-attestations.json'), 'utf8'),
  ) as {
    readonly artifact: Record<string, unknown>;
    readonly legacy: Record<string, unknown>;
    readonly v1: Record<string, unknown>;
    readonly v0: Record<string, unknown>;
  };
  const image: Descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digest('f'),
    size: 856,
  };
  const facts = factsOf({ run: exec({ mounts: secret.mounts.slice(0, 1) }) });
  const statement = (version: 'v1' | 'v0.2') =>
    makeStatement(makeProvenance(facts, { ...options, version }), [
      { name: 'pkg:docker/app@v1', digest: { sha256: 'f' } },
    ]);
  const documents = (artifact: boolean): unknown => {
    const { manifest, manifestBytes, configBytes } = makeAttestationManifest(image, [statement('v1')], {
      artifact,
    });
    return {
      descriptor: manifest,
      manifest: JSON.parse(manifestBytes.toString()),
      config: JSON.parse(configBytes.toString()),
    };
  };

  it.each([
    ['artifact', true],
    ['legacy', false],
  ] as const)('has the same fields in the documents around the statements: %s', (name, artifact) => {
    expect(shapeOf(documents(artifact))).toEqual(recorded[name]);
  });

  it.each([
    ['v1', 'v1'],
    ['v0', 'v0.2'],
  ] as const)('has every field of the provenance: %s', (name, version) => {
    expect(shapeOf(statement(version))).toMatchObject(recorded[name]);
  });
});

/** Fields with the kinds of their values; the steps are each program's own. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      ['llbDefinition', 'digestMapping', 'locations', 'layers', 'args'].includes(key) &&
      !('mediaType' in value)
        ? 'own'
        : shapeOf(each),
    ]),
  );
}
