/** Telling a process apart from a later one with the same number. */
import { readFileSync } from 'node:fs'

/** Start time of a process, in clock ticks since boot (field 22 of /proc/PID/stat); null when it does not run, or is a zombie. */
export const processStart = (pid: number): string | null => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}
