"""The cell types. Each file is named as `type` in conf/cell, and has a layer of that name in capitals."""
