import { describe, expect, it } from 'vitest';
import { redact, redactCredentials, stripControls } from '../../../src/errors/redact.ts';

describe('redact()', () => {
  it.each([
    ['get https://user:pa55@reg.example/v2/', 'get https://***@reg.example/v2/'],
    ['clone https://x-token@github.com/a.git', 'clone https://***@github.com/a.git'],
    ['Authorization: Basic dXNlcjpwYXNz', 'Authorization: Basic ***'],
    ['"authorization":"Bearer abcdefghijkl"', '"authorization":"Bearer ***"'],
    ['sent Bearer abcdef.ghijkl-mn==', 'sent Bearer ***'],
    ['GET /t?service=x&access_token=abc&y=1', 'GET /t?service=x&access_token=***&y=1'],
    [`token ghp_${'a'.repeat(36)} used`, 'token *** used'],
    ['key AKIAIOSFODNN7EXAMPLE', 'key ***'],
  ])('redact() masks credentials when text is "%s"', (text, expected) => {
    expect(redact(text)).toBe(expected);
  });

  it.each([
    ['https://registry.example/v2/a@sha256:00'],
    ['pull docker.io/library/busybox:latest@sha256:abc'],
    ['the bearer of news'],
    ['mail me@example.com about http://a/b?x=1'],
    ['author: someone'],
  ])('redact() leaves text alone when nothing is secret: "%s"', (text) => {
    expect(redact(text)).toBe(text);
  });

  it('redact() finds a secret when control characters split it', () => {
    expect(redact('key=hun\u0000ter\u001b[31m22', ['hunter22'])).toBe('key=***');
  });

  it('redactCredentials() masks given values but not ones that are too short to tell', () => {
    expect(redactCredentials('a s3cr3t and abc', ['s3cr3t', 'a'])).toBe('a *** and abc');
  });

  it('redact() is linear when a long line has no at sign', () => {
    const start = performance.now();
    redact(`https://${'a'.repeat(500_000)}`);
    redact('a://'.repeat(100_000));
    redact('eyJ'.repeat(100_000));
    redact(`authorization:${' '.repeat(100_000)}`);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe('stripControls()', () => {
  it('stripControls() removes sequences whole when they are CSI, OSC or single', () => {
    expect(stripControls('a\u001b[2Jb\u001b]0;title\u0007c\u001b]8;;x\u001b\\d\u001bce\r\nf\tg')).toBe(
      'abcde\nf\tg',
    );
  });

  it('stripControls() keeps colours only when asked', () => {
    const text = '\u001b[31mred\u001b[0m\u001b[1A';
    expect(stripControls(text, { keepColours: true })).toBe('\u001b[31mred\u001b[0m');
    expect(stripControls(text)).toBe('red');
  });

  it('stripControls() removes marks that reorder text when they appear', () => {
    expect(stripControls('a\u202eb\u2066c')).toBe('abc');
  });
});
