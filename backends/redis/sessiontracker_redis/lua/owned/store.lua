-- Until when one of the owner's keys is there; 0: it is not.
local function lasts(key)
  local left = call('PTTL', key)
  if left == -2 then
    return 0
  end
  return left == -1 and FOREVER or ms + left
end

local function expire(key, at)
  if not real then
    call('EXPIRE', key, 3600) -- a test's clock is not the server's
  elseif at >= FOREVER then
    call('PERSIST', key)
  else
    call('PEXPIREAT', key, format('%.0f', at))
  end
end

-- Have `key` be there until `at`, when it `was` there until then; the owner outlives sessions.
local function prolong(key, was, at)
  if was >= at then
    return
  end
  expire(key, at)
  if PAYLOADS[key] then
    expire(PAYLOADS[key], at)
    local there = lasts(O)
    if there > 0 and there < at then
      expire(O, at)
    end
  end
end

-- `text`, a session or a lock, in its place under the name.
local function store(key, text, at)
  local was = lasts(key)
  if key == L then
    call('HSET', L, name, text)
  else
    local size = SIZE + unpack('>I2', text, SIZE - 1)
    call('HSET', key, name, sub(text, 1, size))
    call('HSET', PAYLOADS[key], name, sub(text, size + 1))
  end
  prolong(key, was, at)
end

local untidy = false -- something has gone that lasted longest

-- What is in that place under the name goes; a session would have lasted until `at`.
local function drop(key, at)
  if PAYLOADS[key] then
    untidy = untidy or at > 0 and at + 100 >= lasts(key)
    call('HDEL', PAYLOADS[key], name)
  end
  call('HDEL', key, name)
end
