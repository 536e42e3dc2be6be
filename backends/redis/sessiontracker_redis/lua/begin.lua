-- A session begins.

local function begin(id, owner, idle, absolute)
  local ends = absolute > 0 and math.min(ms + absolute, FOREVER) or FOREVER
  active = {
    life = id, write = id, version = 1, started = ms, updated = ms, slid = ms, idle = idle,
    ends = ends, expires = expiry(ms, idle, ends), size = #owner, owner = owner,
  }
end

-- It is put in its place. Beside a finished one, which may outlive what the deed leaves, the
-- deed is kept with the lock.
local function put_begun(payload)
  put_active(payload)
  remember(active.write)
  if finished then
    lock.needed = true
  end
end
