import { randomBytes, randomInt } from 'node:crypto';

const MANNERS =
  `amber brisk calm clever copper dapper eager early fair fleet gentle golden hardy honest humble keen
kindly lively lucid merry mild modest nimble noble patient placid plain polite prompt proud quick quiet ready silver
sober steady sunny swift tidy vivid warm wise witty`.split(/\s+/);
const BIRDS =
  `avocet bittern brant bunting crake crane curlew dipper dunlin egret fulmar gannet godwit grebe heron hoopoe
ibis jackdaw kestrel kite lapwing linnet magpie martin merlin oriole osprey petrel pipit plover puffin rail raven
robin shrike siskin skua snipe starling stork swift tern thrush turnstone wagtail wren`.split(/\s+/);

/** Twelve hex digits, as long as the ids that Docker shows. */
export function newContainerId(): string {
  return randomBytes(6).toString('hex');
}

/** A name that people can say. */
export function newContainerName(): string {
  const one = (words: readonly string[]): string => words[randomInt(words.length)] ?? 'container';
  return `${one(MANNERS)}_${one(BIRDS)}`;
}
