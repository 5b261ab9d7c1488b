import { describe, expect, it } from 'vitest';
import { type BuildRequest, readBuildRequest } from '../../../src/cli/build/build-options.ts';
import { parseOutput } from '../../../src/cli/build/output-flag.ts';
import { parseAddHost, parseSize, parseUlimit } from '../../../src/cli/build/run-flags.ts';
import { BUILD_FLAGS } from '../../../src/cli/flags/build-flags.ts';
import { GLOBAL_FLAGS } from '../../../src/cli/flags/global-flags.ts';
import { parseArgs } from '../../../src/cli/flags/parse-args.ts';

function read(args: readonly string[], env: Record<string, string> = {}): BuildRequest {
  return readBuildRequest(parseArgs(args, [...BUILD_FLAGS, ...GLOBAL_FLAGS]), env);
}

describe('readBuildRequest()', () => {
  it('readBuildRequest() fills every option when every flag is given', () => {
    const args =
      '-t a:1 -t b --build-arg X=1=2 --target t --label l=v --annotation manifest:a=b --platform linux/arm64 --build-context n=../d --add-host h=10.0.0.1 --network host --ulimit nofile=1:2 --shm-size 64m --provenance=mode=min --attest type=sbom --secret id=s,src=f --ssh k=key --allow network.host,device --no-cache --pull=newer -o type=oci,dest=o.tar,name=c:2 --jobs 3 --explain --root /r --runtime crun -f d/Dockerfile --iidfile i --metadata-file m --progress rawjson --debug dir';
    expect(read(args.split(' '))).toEqual({
      options: {
        context: 'dir',
        dockerfile: 'd/Dockerfile',
        tags: ['a:1', 'b'],
        buildArgs: { X: '1=2' },
        target: 't',
        labels: { l: 'v' },
        annotations: { 'manifest:a': 'b' },
        platform: 'linux/arm64',
        buildContexts: { n: '../d' },
        addHosts: ['h:10.0.0.1'],
        network: 'host',
        ulimits: [{ name: 'nofile', soft: 1, hard: 2 }],
        shmSize: 64 * 1024 * 1024,
        secrets: { s: { type: 'file', path: 'f' } },
        ssh: { k: { type: 'keys', files: ['key'] } },
        allow: ['network.host', 'device'],
        noCache: true,
        noCacheFilter: [],
        cacheFrom: [],
        cacheTo: [],
        attest: [{ type: 'sbom' }, { type: 'provenance', mode: 'min' }],
        resultProvenance: 'min',
        pull: 'newer',
        outputs: [{ type: 'oci', dest: 'o.tar', tar: true, names: ['c:2'] }],
        jobs: 3,
        explain: true,
        exportOnFailure: [],
        root: '/r',
        runtime: 'crun',
      },
      dockerfileOnStdin: false,
      readsStdin: false,
      progress: 'rawjson',
      printsDigest: false,
      debugShell: false,
      watches: false,
      warnings: [],
      iidFile: 'i',
      metadataFile: 'm',
      debug: true,
    });
  });

  it('readBuildRequest() takes bare build args from the environment and drops absent ones', () => {
    const { buildArgs } = read(['--build-arg', 'A', '--build-arg', 'B', '--build-arg', 'C=', '.'], {
      A: 'x',
    }).options;
    expect(buildArgs).toEqual({ A: 'x', C: '' });
  });

  it('readBuildRequest() reads defaults from the environment when flags are absent', () => {
    const env = {
      OCIBUILD_ROOT: '/e',
      OCIBUILD_RUNTIME: 'youki',
      BUILDKIT_PROGRESS: 'plain',
      OCIBUILD_DEBUG: '1',
    };
    expect(read(['.'], env)).toMatchObject({
      options: { root: '/e', runtime: 'youki' },
      progress: 'plain',
      debug: true,
    });
    expect(read(['--root', '/f', '--progress=tty', '.'], env)).toMatchObject({
      options: { root: '/f' },
      progress: 'tty',
    });
  });

  it.each<[string[], 'missing' | 'always' | 'never']>([
    [[], 'missing'],
    [['--pull'], 'always'],
    [['--pull=true'], 'always'],
    [['--pull=false'], 'missing'],
    [['--pull=never'], 'never'],
  ])('readBuildRequest() pulls as told when flags are %j', (flags, expected) => {
    expect(read([...flags, '.']).options.pull).toBe(expected);
  });

  it('readBuildRequest() takes --print for --call when only that is given', () => {
    expect(read(['--print=outline,format=json', '.']).call).toMatchObject({
      name: 'outline',
      format: 'json',
    });
  });

  it('readBuildRequest() passes empty values over when the variables of a script are empty', () => {
    const names = [
      'add-host',
      'allow',
      'annotation',
      'cache-from',
      'cache-to',
      'output',
      'platform',
      'secret',
      'ssh',
    ];
    const { options } = read([...names.flatMap((name) => [`--${name}`, '']), '.']);
    expect(options).toEqual(read(['.']).options);
    for (const name of ['build-arg', 'label', 'build-context', 'shm-size', 'ulimit']) {
      expect(() => read([`--${name}`, '', '.'])).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    }
  });

  it('readBuildRequest() reads the spellings that Docker takes', () => {
    const pulls = ['--pull', '--pull=1', '--pull=T', '--pull=0', '--pull=false'];
    const always = 'always' as const;
    expect(pulls.map((flag) => read([flag, '.']).options.pull)).toEqual([
      ...[always, always, always],
      ...['missing', 'missing'],
    ]);
    expect(read(['--add-host', 'a:10.0.0.1,b:host-gateway', '.']).options.addHosts).toEqual([
      'a:10.0.0.1',
      'b:127.0.0.1',
    ]);
    expect(read(['--compress', '.']).warnings).toEqual([expect.stringContaining('--compress has no effect')]);
    expect(read(['--cache-to', 'type=inline,mode=max', '.']).warnings).toEqual([
      expect.stringContaining('"mode=max" of --cache-to type=inline has no effect'),
    ]);
    expect(read(['--cache-to', 'type=inline,mode=min', '.']).warnings).toEqual([]);
    expect(() => read(['-q', '--progress', 'fancy', '.'])).toThrow(/--progress "fancy"/);
    expect(read(['--progress=quiet', '.'])).toMatchObject({ printsDigest: true, progress: 'quiet' });
    expect(read(['--progress=none', '.'])).toMatchObject({ printsDigest: false, progress: 'quiet' });
    expect(() => read(['.'], { BUILDKIT_PROGRESS: 'fancy' })).toThrow(/BUILDKIT_PROGRESS "fancy"/);
  });

  it('readBuildRequest() expects the Dockerfile on stdin when the file is a dash', () => {
    const request = read(['-f', '-', '-q', '.']);
    expect(request).toMatchObject({ dockerfileOnStdin: true, printsDigest: true, progress: 'quiet' });
    expect(request.options).not.toHaveProperty('dockerfile');
  });

  it('readBuildRequest() leaves stdout to the output when one goes there', () => {
    expect(read(['-q', '-o', '-', '.'])).toMatchObject({ printsDigest: false, progress: 'quiet' });
  });

  it.each<[string[], string, RegExp]>([
    [[], 'USAGE_INVALID', /without a context/],
    [['a', 'b'], 'USAGE_INVALID', /2 contexts/],
    [['-f', '-', '-'], 'USAGE_INVALID', /both the context and the Dockerfile/],
    [['--no-cache', '--no-cache-filter', 'a', '.'], 'USAGE_INVALID', /together/],
    [['--progress', 'fancy', '.'], 'USAGE_INVALID', /--progress "fancy"/],
    [['--network', 'bridge', '.'], 'USAGE_INVALID', /expected default, none, host/],
    [['--jobs', '0', '.'], 'USAGE_INVALID', /--jobs "0"/],
    [['--build-arg', '=x', '.'], 'USAGE_INVALID', /NAME=VALUE/],
    [['--build-context', 'x', '.'], 'USAGE_INVALID', /NAME=VALUE/],
  ])('readBuildRequest() refuses when arguments are %j', (args, code, message) => {
    expect(() => read(args)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});

describe('readBuildRequest() with several images', () => {
  it.each<[string, object]>([
    [
      '--platform linux/amd64,linux/arm64 --platform linux/386 .',
      { platform: 'linux/amd64,linux/arm64,linux/386' },
    ],
    ['--target a -t x .', { target: 'a', tags: ['x'] }],
    [
      '--target a,b -t a=x:1 -t b=y -t a=z .',
      { targets: ['a', 'b'], tags: [], targetTags: { a: ['x:1', 'z'], b: ['y'] } },
    ],
    ['--target a -t a=x .', { targets: ['a'], tags: [], targetTags: { a: ['x'] } }],
  ])('readBuildRequest() reads %j', (line, options) => {
    expect(read(line.split(' ')).options).toMatchObject(options);
  });
});

describe('parseOutput()', () => {
  it.each<[string, unknown]>([
    ['out', { type: 'local', dest: 'out' }],
    ['-', { type: 'tar', dest: '-' }],
    ['type=store', { type: 'store' }],
    ['type=image,push=false', { type: 'store' }],
    ['type=docker', { type: 'docker' }],
    [
      'type=docker,dest=-,compression=uncompressed',
      { type: 'docker', dest: '-', compression: 'uncompressed' },
    ],
    ['type=store,oci-mediatypes=false', { type: 'store', ociMediaTypes: false }],
    ['type=oci,rewrite-timestamp=true', { type: 'oci', dest: '-', tar: true, rewriteTimestamp: true }],
    ['type=image,push=true', [{ type: 'store' }, { type: 'registry' }]],
    ['type=image,push=true,store=false', { type: 'registry' }],
    ['type=registry,store=true,unpack=true', [{ type: 'store', unpack: true }, { type: 'registry' }]],
    ['type=registry,registry.insecure=true', { type: 'registry', insecure: true }],
    [
      'type=image,dangling-name-prefix=none,danging-name-empty-only=true,name-canonical=true,prefer-nondist-layers=1',
      {
        type: 'store',
        danglingNamePrefix: 'none',
        danglingNameEmptyOnly: true,
        nameCanonical: true,
        preferNondistributable: true,
      },
    ],
    ['type=docker,context=remote', { type: 'docker', context: 'remote' }],
    ['type=local,dest=d,mode=delete', { type: 'local', dest: 'd', mode: 'delete' }],
    ['type=local,dest=d,mode=copy', { type: 'local', dest: 'd' }],
    ['type=tar,source-date-epoch=7', { type: 'tar', dest: '-', sourceDateEpoch: 7 }],
    [
      'type=oci,compression=estargz,compression-level=0,source-date-epoch=0',
      { type: 'oci', dest: '-', tar: true, sourceDateEpoch: 0, compression: 'estargz', compressionLevel: 0 },
    ],
    [
      'type=registry,push-by-digest=true,compression=zstd',
      { type: 'registry', byDigest: true, compression: 'zstd' },
    ],
    ['type=cacheonly', { type: 'cacheonly' }],
    ['type=tar', { type: 'tar', dest: '-' }],
    ['type=tar,dest=x.tar', { type: 'tar', dest: 'x.tar' }],
    ['type=local,dest=d,platform-split=false', { type: 'local', dest: 'd', platformSplit: false }],
    ['type=tar,dest=f,platform-split', { type: 'tar', dest: 'f', platformSplit: true }],
    ['type=oci,tar=false,dest=d', { type: 'oci', dest: 'd', tar: false }],
    ['"type=oci","dest=a,b.tar"', { type: 'oci', dest: 'a,b.tar', tar: true }],
    [
      'type=oci,compression=zstd,compression-level=19,force-compression=true',
      {
        type: 'oci',
        dest: '-',
        tar: true,
        compression: 'zstd',
        compressionLevel: 19,
        forceCompression: true,
      },
    ],
  ])('parseOutput() gives the output when the value is %s', (spec, expected) => {
    expect(parseOutput(spec)).toEqual({ outputs: [expected].flat(), warnings: [] });
  });

  it('parseOutput() gives names and annotations when attributes hold them', () => {
    const spec =
      'type=oci,"name=a:1,b:2,*",annotation.Key=v,annotation-manifest.k2=w,annotation-index-descriptor.x.y=z,annotation-manifest[linux/arm64].p=q';
    const annotations = {
      Key: 'v',
      'manifest:k2': 'w',
      'index-descriptor:x.y': 'z',
      'manifest[linux/arm64]:p': 'q',
    };
    expect(parseOutput(spec).outputs).toEqual([
      { type: 'oci', dest: '-', tar: true, names: ['a:1', 'b:2'], annotations },
    ]);
  });

  it('parseOutput() warns when an attribute of other tools has no effect', () => {
    const { outputs, warnings } = parseOutput(
      'type=image,buildinfo=true,buildinfo-attrs=true,compat-version=20',
    );
    expect(outputs).toEqual([{ type: 'store' }]);
    expect(warnings).toEqual([
      expect.stringContaining('"buildinfo"'),
      expect.stringContaining('"buildinfo-attrs"'),
      expect.stringContaining('"compat-version"'),
    ]);
    expect(() => parseOutput('type=local,dest=x,buildinfo=true')).toThrow('"buildinfo"');
  });

  it('parseOutput() pushes what is kept as well when --push is given', () => {
    const types = (spec: string): string[] =>
      parseOutput(spec, { push: true }).outputs.map(({ type }) => type);
    expect(types('type=image,compression=zstd')).toEqual(['store', 'registry']);
    expect(types('type=image,push=false')).toEqual(['store']);
    expect(types('type=oci')).toEqual(['oci']);
  });

  it.each<[string, string, RegExp]>([
    ['type=store,store=false', 'USAGE_INVALID', /go nowhere/],
    ['type=registry,push=false', 'USAGE_INVALID', /go nowhere/],
    ['type=registry,dest=x', 'USAGE_UNSUPPORTED', /dest/],
    ['type=occi', 'USAGE_INVALID', /"occi"/],
    ['dest=x', 'USAGE_INVALID', /type is missing/],
    ['', 'USAGE_INVALID', /empty/],
    ['type=local', 'USAGE_INVALID', /must name a directory/],
    ['type=oci,tar=false', 'USAGE_INVALID', /layout directory/],
    ['type=oci,destt=x', 'USAGE_UNSUPPORTED', /"destt"/],
    ['type=local,dest=x,mode=move', 'USAGE_INVALID', /copy or delete/],
    ['type=tar,mode=delete', 'USAGE_UNSUPPORTED', /"mode"/],
    ['type=oci,compression=lz4', 'USAGE_INVALID', /estargz/],
    ['type=oci,source-date-epoch=now', 'USAGE_INVALID', /seconds/],
    ['type=docker,dest=x,context=y', 'USAGE_INVALID', /not to both/],
    ['type=oci,push=true', 'USAGE_UNSUPPORTED', /"push"/],
    ['type=oci,compression-level=10', 'USAGE_INVALID', /0 to 9/],
    ['type=oci,oci-mediatypes=maybe', 'USAGE_INVALID', /oci-mediatypes=maybe/],
  ])('parseOutput() refuses when the value is %s', (spec, code, message) => {
    expect(() => parseOutput(spec)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});

describe('flags of RUN', () => {
  it('parseSize() reads binary units when they are given', () => {
    expect(['1', '1k', '64m', '1.5GiB', '2gb', '10b'].map((text) => parseSize('--x', text))).toEqual([
      1, 1024, 67_108_864, 1_610_612_736, 2_147_483_648, 10,
    ]);
    for (const text of ['', 'm', '-1', '1x', '1e9'])
      expect(() => parseSize('--x', text)).toThrow(/expected a size/);
  });

  it('parseUlimit() takes the soft limit for both when one is given', () => {
    expect(parseUlimit('nofile=10')).toEqual({ name: 'nofile', soft: 10, hard: 10 });
    expect(parseUlimit('core=-1')).toEqual({ name: 'core', soft: -1, hard: -1 });
    for (const text of ['nofile', 'nofile=a', 'nofiles=1', 'nofile=5:4', 'nofile=-1:4']) {
      expect(() => parseUlimit(text)).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    }
  });

  it('parseAddHost() takes both separators and both kinds of address', () => {
    expect(['h:1.2.3.4', 'h=1.2.3.4', 'h:::1', 'h=[::1]'].map((text) => parseAddHost(text))).toEqual([
      'h:1.2.3.4',
      'h:1.2.3.4',
      'h:::1',
      'h:::1',
    ]);
    expect(() => parseAddHost('h:host-gateway')).toThrow(
      expect.objectContaining({ code: 'USAGE_UNSUPPORTED' }),
    );
    expect(parseAddHost('h:host-gateway', '10.0.0.1')).toBe('h:10.0.0.1');
    for (const text of ['h', 'h:', 'h:name', ':1.2.3.4']) expect(() => parseAddHost(text)).toThrow(/HOST:IP/);
  });
});
