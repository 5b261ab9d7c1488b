import { type ErrorData, errorFromData, errorToData } from '../../errors/wire.ts';

/** What goes over a channel; values are whatever a structured clone keeps. */
export type Message =
  /** Without an `id` nobody waits for an answer. */
  | { readonly call: string; readonly id?: number; readonly value: unknown }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ErrorData };

export interface Channel {
  /** Calls a function of the other side. What it throws is thrown here. */
  call(name: string, value?: unknown): Promise<unknown>;
  /** Calls it and does not wait. */
  tell(name: string, value?: unknown): void;
  /** Takes what the other side has sent. */
  receive(message: Message): void;
  /** The other side is gone: whoever waits for an answer gets this. */
  end(error: unknown): void;
}

/** Functions that the other side may call. */
export type Handlers = Readonly<Record<string, (value: never) => unknown>>;

/** Two sides that call one another's functions; messages of one side arrive in order. */
export function createChannel(send: (message: Message) => void, handlers: Handlers): Channel {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let lastId = 0;
  let ended: { readonly error: unknown } | undefined;

  const answer = async (name: string, id: number, value: unknown): Promise<void> => {
    try {
      send({ id, value: await handlers[name]?.(value as never) });
    } catch (error) {
      send({ id, error: errorToData(error) });
    }
  };
  return {
    call(name, value) {
      const answered = Promise.withResolvers<unknown>();
      if (ended !== undefined) {
        answered.reject(ended.error);
        return answered.promise;
      }
      const id = ++lastId;
      waiting.set(id, answered);
      try {
        send({ call: name, id, value });
      } catch (error) {
        // Something in the value cannot be cloned.
        waiting.delete(id);
        answered.reject(error);
      }
      return answered.promise;
    },
    tell(name, value) {
      if (ended === undefined) send({ call: name, value });
    },
    receive(message) {
      if ('call' in message) {
        if (message.id === undefined) handlers[message.call]?.(message.value as never);
        else void answer(message.call, message.id, message.value);
        return;
      }
      const answered = waiting.get(message.id);
      waiting.delete(message.id);
      if ('error' in message) answered?.reject(errorFromData(message.error));
      else answered?.resolve(message.value);
    },
    end(error) {
      ended ??= { error };
      for (const answered of waiting.values()) answered.reject(error);
      waiting.clear();
    },
  };
}
