import { describe, expect, it } from 'vitest';
import { parseCacheFrom, parseCacheTo } from '../../../src/build/cache/parse-option.ts';

describe('parseCacheTo()', () => {
  it("takes the attributes of services that it knows, with Docker's names", () => {
    expect(
      parseCacheTo(
        'type=s3,bucket=b,region=eu-west-1,name=a;b,use_path_style=true,upload_parallelism=8,mode=max',
      ),
    ).toEqual({
      type: 's3',
      bucket: 'b',
      region: 'eu-west-1',
      name: 'a;b',
      usePathStyle: true,
      uploadParallelism: 8,
      mode: 'max',
    });
    expect(parseCacheFrom('type=gha,scope=app,url_v2=https://x.example/,version=2,timeout=1m')).toEqual({
      type: 'gha',
      scope: 'app',
      urlV2: 'https://x.example/',
      version: 2,
      timeout: '1m',
    });
  });

  it('refuses attributes that nothing would come of', () => {
    expect(() => parseCacheTo('type=s3,bucket=b,retry_mode=adaptive')).toThrow('Cannot use "retry_mode"');
    expect(() => parseCacheFrom('type=gha,ghtoken=x')).toThrow('Cannot use "ghtoken"');
  });

  it.each([
    'type=s3,bucket=b,secret_access_key=hunter22,bucket=c',
    'type=s3,SESSION_TOKEN=hunter22,oops',
    'bucket=b,token=hunter22',
    'type=gha,"token=hunter22',
    'type=s3,"secret_access_key=a,hunter22",oops',
    'type=s3," secret_access_key=a,""hunter22"" ",oops',
    'type=s3,"secret_access_key=a,hunter22',
    'type=s3,secret_access_key="a,hunter22",bucket=b',
    'type=s3,secret_access_key=a"hunter22,bucket=b',
  ])('shows no secret when it cannot read %s', (text) => {
    expect(() => parseCacheTo(text)).toThrow(/^(?!.*hunter22)/);
  });

  it('shows what stands around a secret', () => {
    expect(() => parseCacheTo('"session_token=a,b","bucket=b",access_key_id=c,region=r')).toThrow(
      'Cannot use --cache-to ""session_token=***","bucket=b",access_key_id=***,region=r": its type is missing',
    );
  });
});
