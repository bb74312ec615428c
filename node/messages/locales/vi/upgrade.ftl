### Nội dung do lệnh `kho upgrade status` in ra. Level: mức phiên bản.

upgrade-heading = { $name } (điểm kho { $site }) làm việc ở mức phiên bản { $level }; mức cao nhất mà một bản Kho ở đây hỗ trợ là { $wanted }
upgrade-column-node = nút
upgrade-column-role = vai trò
upgrade-column-supports = hỗ trợ mức phiên bản
upgrade-column-build = bản Kho
upgrade-column-child = kho cấp dưới
upgrade-column-site = điểm kho
upgrade-column-level = mức phiên bản
upgrade-parent = kho cấp trên: điểm kho { $site } làm việc ở mức phiên bản { $level }, bản Kho ở đó ({ $build }) hỗ trợ mức { $supported }
upgrade-leader-elsewhere = nút { $node } trả lời và không phải là nút chủ: chỉ nút chủ, ở { $leader }, biết kho cấp trên và kho cấp dưới nói gì
upgrade-voter = nút biểu quyết
upgrade-learner = nút học
upgrade-unknown = chưa biết
upgrade-held = đang cản trở: { $why }
upgrade-nobody = không có gì cản trở việc nâng cấp của hệ thống kho

held-node_older = nút { $node } hỗ trợ mức phiên bản { $supported }, không hỗ trợ mức { $wanted }; hãy cài bản Kho mới hơn ở đó
held-node_silent = nút { $node } không cho biết hỗ trợ những mức phiên bản nào ({ $error }); hãy khởi động nút đó, hoặc xóa nút bằng `kho node remove`
held-parent_lower = kho cấp trên (điểm kho { $parent }) làm việc ở mức phiên bản { $level }; phải nâng nơi đó lên mức { $wanted } trước điểm kho này
held-site_not_raised = điểm kho này ({ $site }) làm việc ở mức phiên bản { $level } dù mọi nút đã hỗ trợ mức { $wanted }; hãy chạy `kho upgrade raise --dry-run`, rồi `kho upgrade raise`
held-child_older = kho cấp dưới { $name } (điểm kho { $site }) hỗ trợ mức phiên bản { $supported }, không hỗ trợ mức { $wanted }; hãy cài bản Kho mới hơn ở đó
held-child_not_raised = kho cấp dưới { $name } (điểm kho { $site }) làm việc ở mức phiên bản { $level } và có thể nâng lên mức { $wanted }; hãy chạy `kho upgrade status` ở đó
held-child_silent = kho cấp dưới { $name } (điểm kho { $site }) chưa kết nối với nút này kể từ khi nút khởi động; hãy xem `kho status`
