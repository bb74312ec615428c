### Lý do không trả lời được một câu hỏi, và việc cần làm.

question-unknown_indicator = không có chỉ tiêu `{ $given }`
    .hint = hãy dùng một trong các chỉ tiêu: { $indicators }
question-unknown_parameter = không có tham số `{ $given }`
    .hint = các tham số: { $parameters }
question-unknown_read_mode = `{ $given }` không phải là một cách đọc
    .hint = hãy dùng read=linearizable hoặc read=local

question-unknown_dimension = không thể phân tổ `{ $indicator }` theo `{ $given }`
    .hint = hãy dùng: { $dimensions }; để phân theo địa bàn hãy dùng `level`
question-no_dimensions = không thể phân tổ `{ $indicator }` theo `{ $given }`
    .hint = hãy bỏ `by`; để phân theo địa bàn hãy dùng `level`
question-repeated_dimension = `{ $given }` có hai lần trong `by`
    .hint = mỗi chiều phân tổ chỉ nêu một lần
question-too_many_groups = bảng có hơn { $groups_max } nhóm
    .hint = hãy chọn ít chiều hơn trong `by`, một `level` rộng hơn, hoặc một `area` nhỏ hơn

question-wrong_date = `{ $given }` không phải là ngày
    .hint = hãy ghi at=YYYY-MM-DD, YYYY-MM hoặc YYYY; tuổi được tính chính xác đến tháng
question-ages_not_counted = `{ $indicator }` không tính theo tuổi nên `at` không có ý nghĩa
    .hint = hãy bỏ `at`
question-period_not_applicable = `{ $indicator }` tính những gì đang đăng ký hiện nay nên `from` và `to` không có ý nghĩa
    .hint = hãy bỏ hai tham số này; `at` đổi ngày tính tuổi
question-wrong_month = `{ $given }` không phải là tháng
    .hint = hãy ghi { $parameter }=YYYY-MM hoặc YYYY; các sự kiện được tính theo tháng
question-open_period = `{ $indicator }` là một tỷ suất nên cần cả hai đầu của kỳ
    .hint = hãy ghi from=YYYY-MM và to=YYYY-MM, tính cả hai tháng
question-empty_period = kỳ bắt đầu vào { $first }, sau khi kết thúc vào { $last }
    .hint = hãy đổi chỗ `from` và `to`; tính cả hai tháng

question-wrong_area = `{ $given }` không phải là địa bàn
    .hint = hãy ghi mã tỉnh (2 chữ số), huyện (3), xã (5), vùng (R1 đến R6), hoặc VN
question-unknown_area = danh mục `{ $catalogue }` không có địa bàn `{ $given }`
    .hint = danh mục có các cấp { $levels }; hoặc hãy hỏi với { $others }
question-unknown_level = `{ $given }` không phải là cấp địa bàn
    .hint = hãy dùng một trong các cấp: { $levels }
question-level_missing = danh mục `{ $catalogue }` không có cấp `{ $level }`
    .hint = hãy dùng một trong các cấp: { $levels }
question-level_too_coarse = cấp `{ $level }` rộng hơn địa bàn được hỏi, vốn thuộc cấp { $area_level }
    .hint = hãy dùng level={ $area_level } hoặc cấp nhỏ hơn, hoặc một địa bàn lớn hơn
question-unknown_catalogue = `{ $given }` không phải là danh mục đơn vị hành chính
    .hint = hãy dùng một trong các danh mục: { $catalogues }

question-unknown_table = không có bảng `{ $given }`
    .hint = hãy dùng một trong các bảng: { $tables }
question-wrong_key = không bản ghi nào có khóa dài { $bytes } byte
    .hint = hãy ghi `{ $column }` của bảng { $table }, dài 1 đến { $bytes_max } byte

question-not_counted = không tính được `{ $indicator }`: lược đồ dữ liệu của điểm kho này không có { $missing }
    .hint = hãy cấp cho điểm kho lược đồ dữ liệu dân số, hoặc hỏi chỉ tiêu khác
question-wrong_clock = đồng hồ của nút này chỉ { $time }
    .hint = hãy chỉnh đồng hồ của nút rồi hỏi lại
