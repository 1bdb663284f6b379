/** Numbers for people. */

/** 1234567 → "1 234 567" */
export const grouped = (value: number): string => String(Math.trunc(value)).replace(/\B(?=(\d{3})+$)/g, ' ')

/** 1234567 → "1.2 MB" (powers of 1000). */
export const byteText = (bytes: number): string => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** The two largest units: 7443 → "2 h 4 min". */
export const durationText = (seconds: number): string => {
  const units: readonly (readonly [number, string])[] = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ]
  const whole = Math.floor(seconds)
  const start = units.findIndex(([size]) => whole >= size)
  if (start === -1) return '0 s'
  return units
    .slice(start, start + 2)
    .map(([size, unit], i) => [Math.floor((i === 0 ? whole : whole % units[start]![0]) / size), unit] as const)
    .filter(([value], i) => i === 0 || value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ')
}
