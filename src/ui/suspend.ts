/** Ctrl-Z: gives the terminal back before the process stops, and takes it again when it goes on. */
export function watchSuspension(
  process: NodeJS.Process,
  suspend: () => void,
  resume: () => void,
): () => void {
  const stop = (): void => {
    suspend();
    // The signal that came is spent on this listener, and raising it again would only call us again.
    process.kill(process.pid, 'SIGSTOP');
  };
  process.on('SIGTSTP', stop);
  process.on('SIGCONT', resume);
  return () => {
    process.off('SIGTSTP', stop);
    process.off('SIGCONT', resume);
  };
}
