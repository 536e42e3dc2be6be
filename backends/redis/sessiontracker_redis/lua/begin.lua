-- A session begins: `id`, `payload`, `owner`, `idle`, `absolute`.
local ends = absolute > 0 and min(ms + absolute, FOREVER) or FOREVER
active = {
  life = id, write = id, version = 1, started = ms, updated = ms, slid = ms, idle = idle,
  ends = ends, expires = idle > 0 and min(ms + idle, ends) or ends,
  size = #owner, owner = owner,
}
