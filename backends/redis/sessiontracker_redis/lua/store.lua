local function store(key, text, at)
  if not real then
    call('SET', key, text, 'EX', 3600) -- a test's clock is not the server's
  elseif at >= FOREVER then
    call('SET', key, text)
  else
    call('SET', key, text, 'PXAT', format('%.0f', at))
  end
end
